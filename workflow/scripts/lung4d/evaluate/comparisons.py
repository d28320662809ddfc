"""Models side by side that differ in settings: the rows of the paper's Tables 1 and 3, and of the ablation.

The rules import this, so it needs nothing but Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OWN = "own"  # the name of the run's own model beside the rows
SCORED_SETS = {"test": "internal", "external": "external"}  # sets that are scored, and what the paper calls them


@dataclass(frozen=True)
class Row:
    """A model: what it sets in the run's own `train_ode` section, in Table 3 in `train_vqgan`.

    paper: the paper's numbers, MSE, SSIM and PSNR by task in Table 1, MSE by set in Table 3.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    paper: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def is_own(self, section: Mapping[str, Any]) -> bool:
        """Whether the run's own section has this row's settings already, so that its model is the row's."""
        return all(section.get(key) == value for key, value in self.settings.items())


# Stage 2 as the paper literally has it: config/paper.yaml, and our defaults where the paper is what they say. Size of
# the hidden state and epochs are the run's own.
LITERAL = {
    "members": 1,
    "features": False,
    "breath": False,
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


def _autoencoder(name: str, codes: int, compression: int, lr: float, test: float, external: float) -> Row:
    title = f"{codes} codes, compression {compression}, lr {lr:g}"
    settings = {"codes": codes, "compression": compression, "lr": lr}
    return Row(name, title, settings, {"test": (test,), "external": (external,)})


TABLE3 = (
    _autoencoder("codes-1024", 1024, 4, 3.0e-4, 3.76e-3, 6.84e-3),
    _autoencoder("codes-4096", 4096, 4, 3.0e-4, 3.54e-3, 6.64e-3),
    _autoencoder("lr-1e-4", 256, 4, 1.0e-4, 4.88e-3, 8.67e-3),
    _autoencoder("codes-256", 256, 4, 3.0e-4, 4.23e-3, 8.10e-3),
    _autoencoder("compression-8", 256, 8, 3.0e-4, 6.17e-3, 11.5e-3),
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

TITLES = {row.name: row.title for row in (*TABLE1, *ABLATION)} | {
    OWN: "the run's own settings",
    "unet": "one U-Net that is told the years",
}


def as_page(words: str, parts: Iterable[tuple[str, str]], **told: str) -> str:
    """`words` with what is told, and with the parts, a heading or "" and a table each, for `{tables}`."""
    shown = [f"{heading}\n\n{table}\n" if heading else f"{table}\n" for heading, table in parts]
    nothing = "No patient has three usable visits: nothing could be withheld.\n"
    return words.format(tables="\n".join(shown or [nothing]), **told)


def as_markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """A Markdown table of one row or more; the first `words` columns hold words, the others numbers."""
    head, *lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
    rule = "|" + " --- |" * words + " ---: |" * (len(rows[0]) - words)
    return "\n".join([head, rule, *lines])
