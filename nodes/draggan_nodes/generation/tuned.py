"""A model with weights that are one picture's own (Roich et al. 2021, "Pivotal Tuning", section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_runtime.errors import DragganError
from draggan_runtime.messages import TunedWeights
from draggan_runtime.tuned_weights import changes_of


@dataclass
class OwnNetwork:
    """The network that a session's pictures are drawn with: the model's, or one with the weights of ``name``.

    The tuned one shares with the model's all that is not tuned, and is nobody else's.
    """

    name: str = ""
    tuned: GeneratorNetwork | None = None

    def of(self, network: GeneratorNetwork, name: str, tuning: TunedWeights | None) -> GeneratorNetwork:
        """``network``, with the weights of ``tuning`` if ``name`` is its name; "": as it is.

        Raises UserError if they are another model's, DragganError if ``tuning`` is another one.
        """
        if not name:
            self.name, self.tuned = "", None
            return network
        if self.tuned is None or self.name != name:
            if tuning is None or tuning.name != name:
                raise DragganError("the weights that the picture was tuned with are not there; open its session again")
            self.name, self.tuned = name, network.tuned(changes_of(tuning, network.tunable, network.w_mean))
        return self.tuned
