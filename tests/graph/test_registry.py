"""Finding node classes by registered name, module and file, here and in another process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from graph_helpers import Files

from draggan_runtime import registry
from draggan_runtime.errors import UserError
from draggan_runtime.node import Node
from draggan_runtime.registry import ImplRef, available, resolve

NODE = '''
from draggan_runtime.node import Node

class Mine(Node):
    """Mine. More of it."""
'''


def refusal(impl: str, folder: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        resolve(impl, folder=folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_registered_names_and_the_runtime_s_own() -> None:
    assert resolve("tracking/nearest").cls.__name__ == "NearestTracker"
    assert resolve("runtime/drag").cls.__name__ == "Drag"


def test_module_and_class(files: Files) -> None:
    files.write("a_module_of_mine.py", NODE)
    assert resolve("a_module_of_mine:Mine").cls.__name__ == "Mine"


def test_a_file_is_looked_up_beside_the_yaml_then_here(files: Files) -> None:
    files.write("sub/mine.py", NODE)
    files.write("here.py", NODE)
    assert (
        resolve("mine.py:Mine", folder=files.folder / "sub").ref.target == f"{files.folder.resolve()}/sub/mine.py:Mine"
    )
    assert resolve("here.py:Mine", folder=files.folder / "sub").cls.__name__ == "Mine"
    assert resolve(f"{files.folder}/here.py:Mine", folder=Path("/")).cls.__name__ == "Mine"


def test_the_same_file_gives_the_same_class_until_it_changes(files: Files) -> None:
    path = files.write("mine.py", NODE)
    first = resolve("mine.py:Mine").cls
    assert resolve("mine.py:Mine").cls is first
    path.write_text(NODE.replace("More", "Less and less"))
    assert "Less" in str(resolve("mine.py:Mine").cls.__doc__)
    assert not list(files.folder.glob("__pycache__/mine*"))


def test_files_of_the_same_name_are_different_modules(files: Files) -> None:
    files.write("a/mine.py", NODE)
    files.write("b/mine.py", NODE)
    assert resolve("a/mine.py:Mine").cls is not resolve("b/mine.py:Mine").cls


def test_another_process_finds_what_this_one_found(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    files.write("lib/helper_of_mine.py", "WORD = 'found'\n")
    files.write(
        "nodes/mine.py", NODE + "    import helper_of_mine\n    import beside_it\n    word = helper_of_mine.WORD\n"
    )
    files.write("nodes/beside_it.py", "")
    ref = resolve("nodes/mine.py:Mine", search_path=["lib"]).ref
    module = resolve("module_elsewhere:Mine", [files.write("x/module_elsewhere.py", NODE).parent]).ref
    script = "import pickle, sys; a, b = pickle.load(sys.stdin.buffer); print(a.load().word, b.load().__name__)"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    output = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((ref, module)),
        capture_output=True,
        cwd=elsewhere,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        check=True,
    )
    assert output.stdout == b"found Mine\n"


def test_errors_are_one_line_and_say_what_would_fit(files: Files) -> None:
    files.write("mine.py", NODE + "\nnumber = 3\nclass Plain: pass\n")
    here = files.folder.resolve()
    assert refusal("tracking/nearst").endswith("; did you mean 'tracking/nearest'?")
    assert "; there are capture/script, " in refusal("xyz")
    assert refusal("mine.py") == "'mine.py' names a file; add the class: mine.py:Class"
    assert refusal("other.py:Mine") == f"'other.py:Mine': no file other.py in {Path.cwd()}"
    assert refusal("mine.py:Mein") == "mine.py:Mein: no class 'Mein'; it defines Mine"
    assert refusal("mine.py:Plain") == (
        "mine.py:Plain: Plain is not a node; make it a subclass of draggan_runtime.node.Node"
    )
    assert "number is not a node" in refusal("mine.py:number")
    assert refusal("no_module_x:Mine") == (
        "no_module_x:Mine: no module 'no_module_x'; is it installed, or its folder on PYTHONPATH?"
    )
    assert "is no node; write a registered name" in refusal("mine:")
    files.write("bad.py", "a = 1\nb = a +\n")
    assert refusal("bad.py:X") == f"{here}/bad.py:2: SyntaxError: invalid syntax"
    files.write("worse.py", "def f():\n    raise RuntimeError('of\\nmine')\n\nf()\n")
    assert refusal("worse.py:X") == f"{here}/worse.py:2: RuntimeError: of mine"
    files.write("exits.py", "import sys\nsys.exit(3)\n")
    assert refusal("exits.py:X") == f"{here}/exits.py:2: SystemExit: 3"
    files.write("imports_missing.py", "import math\nimport not_there_x\n")
    assert refusal("imports_missing:X").startswith("imports_missing:X: ")
    assert "imports_missing.py:2: ModuleNotFoundError: No module named 'not_there_x'" in refusal("imports_missing:X")


def test_everything_the_project_registers_can_be_loaded() -> None:
    found = {node.name: node for node in available()}
    assert {"runtime/drag", "tracking/nearest", "generation/stylegan", "display/files"} <= found.keys()
    assert [node for node in found.values() if node.error or not node.summary] == []
    assert found["tracking/nearest"].distribution == "draggan-runtime"


def test_packages_register_nodes_by_entry_points(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("shipped_nodes.py", NODE)
    points = [EntryPoint(n, "shipped_nodes:" + c, registry.GROUP) for n, c in (("mine", "Mine"), ("gone", "Gone"))]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))
    assert resolve("mine").cls.__name__ == "Mine"
    listed = {node.name: node for node in available()}
    assert listed["mine"].summary == "Mine."
    assert listed["gone"].error == "gone: no class 'Gone'; it defines Mine"


def test_a_name_that_two_packages_claim_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("mine", target, registry.GROUP) for target in ("a:A", "b:B")]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))
    assert refusal("mine") == "'mine' is registered more than once: a:A (?), b:B (?); write module:Class"


def test_a_reference_loads_without_resolving_again(files: Files) -> None:
    files.write("mine.py", NODE)
    ref = ImplRef("mine", f"{files.folder.resolve()}/mine.py:Mine")
    assert issubclass(ref.load(), Node)
