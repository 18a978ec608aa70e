"""A model with weights that are one picture's own (Roich et al. 2021, "Pivotal Tuning", section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from draggan_nodes.generation.latents import to_tensor
from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import TunedWeights


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
            self.name, self.tuned = name, network.tuned(_changes(network, tuning))
        return self.tuned


def _changes(network: GeneratorNetwork, tuning: TunedWeights) -> dict[str, torch.Tensor]:
    """By weight what is added to it, ``[outputs, inputs]``."""
    changes = {}
    for name, (ups, downs) in tuning.factors.items():
        up, down = to_tensor(ups, network.w_mean), to_tensor(downs, network.w_mean)
        shape = network.tunable.get(name)
        fits = up.dim() == down.dim() == 2 and up.shape[1] == down.shape[0]
        if not fits or shape != (up.shape[0], down.shape[1]):
            raise UserError(f"weights tuned as '{name}' do not fit model '{network.name}'; it was another one")
        changes[name] = up @ down
        if not torch.isfinite(changes[name]).all():
            raise UserError("the tuned weights hold values that are not finite numbers")
    return changes
