"""A server of files on loopback that knows ranges, and misbehaves as it is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Web:
    """``files`` by path; ``chunked``: their length is not said; ``breaks``: bytes after which the next answers end."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    chunked: bool = False
    breaks: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)  # what was asked for

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


@contextmanager
def serving() -> Iterator[Web]:
    """The server, for as long as the block runs."""
    web = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.close_connection = True
            data = web.files.get(self.path.strip("/"))
            if data is None:
                self.send_error(404)
                return
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            web.ranges.append(self.headers.get("Range", ""))
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            left = data[start:]
            said = ("Transfer-Encoding", "chunked") if web.chunked else ("Content-Length", str(len(left)))
            self.send_header(*said)
            self.end_headers()
            sent = left[: web.breaks.pop(0)] if web.breaks else left
            if web.chunked:
                self.wfile.write(b"%x\r\n%s" % (len(left), sent))
                if len(sent) == len(left):
                    self.wfile.write(b"\r\n0\r\n\r\n")
            else:
                self.wfile.write(sent)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield web
        finally:
            server.shutdown()
