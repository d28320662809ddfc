"""Variants of the disease model: the rows of the paper's Table 1, and ablations of the run's own settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OWN = "own"  # the name of the run's own model beside the rows


@dataclass(frozen=True)
class Row:
    """A variant: what it sets in the run's own `train_ode` section.

    paper: Table 1's MSE, SSIM and PSNR by task, None where the paper has no such row.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    paper: Mapping[str, tuple[float, float, float]] | None = None

    def is_own(self, section: Mapping[str, Any]) -> bool:
        """Whether a `train_ode` section has this row's settings already, so that its model is the row's."""
        return all(section.get(key) == value for key, value in self.settings.items())


# Stage 2 as the paper literally has it: config/paper.yaml, and our defaults where the paper is what they say. Size of
# the hidden state and epochs are the run's own.
LITERAL = {
    "members": 1,
    "features": False,
    "maps": 0,
    "direction": "backward",
    "time_gap": False,
    "time_in_dynamics": False,
    "encoder": "convgru",
    "dynamics": "ode",
    "decoder": "pairwise",
    "pairwise_interval": 0.5,
    "latents": "quantised",
    "lr": 2.0e-4,
    "lr_decay": 0,
    "betas": [0.5, 0.9],
    "gradient_clip": None,
    "accumulation": 1,
    "crop": None,
    "given": "all",
    "hide_visits": 0.0,
    "latent_weight": 1.0,
    "select": "training_loss",
}


def _of_paper(
    name: str,
    title: str,
    interpolation: tuple[float, float, float],
    extrapolation: tuple[float, float, float],
    **changes: Any,
) -> Row:
    return Row(name, title, LITERAL | changes, {"interpolation": interpolation, "extrapolation": extrapolation})


TABLE1 = (
    _of_paper(
        "convgru",
        "ConvGRU, no skip connections",
        (0.018, 0.500, 17.913),
        (0.023, 0.472, 16.974),
        decoder="direct",
    ),
    _of_paper(
        "convgru-skip",
        "ConvGRU, skip connections (the paper's method)",
        (0.020, 0.469, 17.387),
        (0.019, 0.489, 17.816),
    ),
    _of_paper(
        "ode-convgru-skip",
        "ODE-ConvGRU, skip connections",
        (0.018, 0.508, 17.900),
        (0.026, 0.440, 16.913),
        encoder="ode_convgru",
    ),
    _of_paper(
        "masked-inputs",
        "ConvGRU, skip connections, masked inputs",
        (0.035, 0.343, 15.366),
        (0.036, 0.340, 15.240),
        hide_visits=0.5,  # the paper gives no rate
    ),
)

ABLATION = (
    Row("no-features", "without plain numbers of the scans", {"features": False}),
    Row("no-drawing", "without drawing at the scan's resolution", {"maps": 0}),
    Row("no-latent-loss", "without the paper's two losses", {"latent_weight": 0}),
    Row("no-low-pass-loss", "without the low-passed loss", {"low_pass_weight": 0}),
    Row("backward", "encoder runs backward to the baseline", {"direction": "backward"}),
    Row("no-time-gap", "without the years between visits", {"time_gap": False}),
    Row("linear", "straight line instead of the ODE", {"dynamics": "linear"}),
    Row("ode-convgru", "ODE-ConvGRU as the encoder", {"encoder": "ode_convgru"}),
    Row("quantised", "quantised latents", {"latents": "quantised"}),
    Row("one-member", "one model instead of several", {"members": 1}),
)
