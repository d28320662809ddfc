"""A procedural thorax: smooth implicit functions of the coordinates, no two patients alike.

`build` gives the lungs as a distance function with what is sampled through a deformation (pleural distance, fissures,
midline), and the rest of the body as HU on GRID. Vessels and airways are in `trees`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lung4d.simulate.builds import Build
from lung4d.simulate.grids import Grid, regrid, smooth_noise

FIELD_OF_VIEW = (300.0, 260.0, 320.0)  # mm, z y x
GRID = Grid.centred(FIELD_OF_VIEW, (2.5, 2.5, 2.5))
COARSE = Grid.centred(FIELD_OF_VIEW, (4.0, 4.0, 4.0))
SOFT, FAT, AIR, BONE = 45.0, -100.0, -1000.0, 220.0

# Tubes of the standard thorax: two ends (z, y, x) and a radius, mm.
GREAT_VESSELS = (
    ((110, 0, -22), (-5, -5, -26), 9),  # superior vena cava
    ((-5, -22, -4), (48, -14, -12), 15),  # aorta: ascending, arch, descending
    ((48, -14, -12), (56, 14, 12), 13),
    ((52, 18, 16), (20, 42, 24), 12),
    ((20, 42, 24), (-150, 44, 16), 11),
    ((0, -30, 12), (24, -10, 22), 13),  # pulmonary trunk, right and left artery
    ((22, -4, 18), (14, 6, -34), 10),
    ((22, -4, 20), (8, 14, 34), 10),
    ((140, 22, 4), (-100, 34, 8), 7),  # oesophagus
    ((54, 0, 14), (140, 4, 24), 6),  # neck vessels
    ((54, 0, -10), (140, 0, -20), 7),
)
AIRWAYS = (  # trachea, right and left main bronchus
    ((170, 2, 0), (44, 13, -2), 8.5),
    ((44, 13, -2), (14, 11, -34), 7.0),
    ((44, 13, -2), (8, 15, 33), 6.2),
)


@dataclass(frozen=True)
class Anatomy:
    """Baseline anatomy on `grid`. Arrays (D, H, W) float32.

    lung: signed distance to the lungs' surface, mm, positive inside (exact near the surface).
    pleura: distance from the pleura for points in the lung, mm, fissures not counted.
    wall: about the depth inside the rib cage, mm, negative in the chest wall.
    midline: negative on the patient's right. fissure: distance to the nearest fissure, mm.
    oblique, horizontal: height above these fissures, mm (the horizontal one counts on the right only).
    height: 0 at the lowest lung, 1 at the apex. body: HU with soft tissue where the lungs are.
    hila: right and left, (3,) points in mm, z y x.
    """

    grid: Grid
    lung: np.ndarray
    pleura: np.ndarray
    wall: np.ndarray
    midline: np.ndarray
    fissure: np.ndarray
    oblique: np.ndarray
    horizontal: np.ndarray
    height: np.ndarray
    body: np.ndarray
    hila: tuple[np.ndarray, np.ndarray]


def build(build: Build, rng: np.random.Generator) -> Anatomy:
    """The thorax of one patient at baseline. Smooth surfaces are evaluated on COARSE and interpolated."""
    own = _own_coordinates(build, rng)
    wall, lung, spine, above = _surfaces(build, *own)
    slope = np.sqrt(sum(g * g for g in np.gradient(lung, *COARSE.spacing)))
    lung = lung / np.clip(slope, 0.5, 3)
    pleura = ndimage.distance_transform_edt(lung > 0, COARSE.spacing).astype(np.float32) - COARSE.spacing[0] / 2
    pleura = np.maximum(pleura, np.clip(lung, 0, COARSE.spacing[0]))
    fissures = _fissures(build, *own)
    z, y, x, wall, lung, spine, above, pleura, oblique, horizontal = (
        regrid(f, COARSE, GRID) for f in (*own, wall, lung, spine, above, pleura, *fissures)
    )
    fissure = np.minimum(np.abs(oblique), np.abs(horizontal) + 99 * ((x > 0) | (oblique < 0)))
    levels = GRID.axes()[0]
    held = levels.ravel()[(lung > 0).any((1, 2))]
    height = np.clip((levels - held.min()) / (held.max() - held.min()), 0, 1)
    size = build.size
    return Anatomy(
        grid=GRID,
        lung=lung,
        pleura=pleura,
        wall=wall,
        midline=x,
        fissure=fissure,
        oblique=oblique,
        horizontal=horizontal,
        height=np.broadcast_to(height, GRID.shape),
        body=_body(build, (z, y, x), wall, lung, spine, above),
        hila=(np.array([10.0, 10, -37]) * size, np.array([4.0, 14, 36]) * size),
    )


def _own_coordinates(build: Build, rng: np.random.Generator) -> list[np.ndarray]:
    """Coordinates of the standard thorax at every point of COARSE: scaled, and bent smoothly patient by patient."""
    return [
        axis / np.float32(size) + np.float32(build.warp) * smooth_noise(rng, COARSE, 90.0)
        for axis, size in zip(COARSE.axes(), build.size, strict=True)
    ]


def _surfaces(build: Build, z, y, x) -> tuple[np.ndarray, ...]:
    """Depth inside the rib cage, the lungs' implicit function, depth outside the spine's outline, height above the
    diaphragm; all about mm."""
    up = np.clip((118 - z) / 165, 0, 1)
    broad = 1 - (1 - up) ** 2
    half_x, half_y, centre_y = 74 + 58 * broad, 52 + 36 * broad, 12 - 8 * broad
    wall = (1 - (_power_2_5(x / half_x) + _power_2_5((y - centre_y) / half_y)) ** 0.4) * 0.9 * half_y
    anterior = 1 / (1 + np.exp((y + 38) / 9))
    apical = 1 / (1 + np.exp((70 - z) / 12))
    middle = np.abs(x + 3) - (26 - 17 * anterior - 3 * apical)
    heart = _ellipsoid((z, y, x), build.heart, build.heart_radius)
    spine_y = 66 + 0.0006 * (z - 20) ** 2 * (z > 20) - 10 * np.clip((z - 60) / 90, 0, 1)
    spine = np.hypot(x, (y - spine_y) * 1.05) - 25
    behind = np.where(y < 16, np.float32(78), np.float32(56))
    apex = (124 - 40 * (((np.abs(x) - 46) / 50) ** 2 + ((y - 16) / behind) ** 2) - z) * 0.6
    above = _diaphragm(build, z, y, x)
    return wall, _soft_minimum([wall, middle, heart, spine, apex, above], 3.0), spine, above


def _power_2_5(value: np.ndarray) -> np.ndarray:
    """|value|^2.5, several times faster than the general power."""
    square = value * value
    return square * np.sqrt(np.sqrt(square))


def _diaphragm(build: Build, z, y, x) -> np.ndarray:
    """Height above the diaphragm: a dome a side, deep at the back and the flanks."""
    tops = []
    for side, top in ((-1, build.dome[0]), (1, build.dome[1])):
        away = ((x - side * 58) / 74) ** 2 + ((y + 12) / 82) ** 2
        away = np.minimum(away, 1.25)
        tops.append(top - 26 * away - 22 * away**3)
    floor = np.where(x < 0, *tops) + 4 * np.exp(-((x / 25) ** 2))
    return (z - np.maximum(floor, -122)) * 0.75


def _ellipsoid(coordinates, centre, radius) -> np.ndarray:
    """About the distance outside an ellipsoid, mm."""
    scaled = [(c - m) / r for c, m, r in zip(coordinates, centre, radius, strict=True)]
    return (np.sqrt(sum(s * s for s in scaled)) - 1) * min(radius)


def _soft_minimum(values: list[np.ndarray], width: float) -> np.ndarray:
    """Minimum with rounded edges: no seam of a real lung is sharp."""
    least = np.minimum.reduce(values)
    total = sum(np.exp(np.maximum((least - v) / width, -20)) for v in values)
    return least - width * np.log(total)


def _fissures(build: Build, z, y, x) -> tuple[np.ndarray, np.ndarray]:
    """Height above the oblique and the horizontal fissure, mm."""
    height, slope = build.oblique
    oblique = z - height - slope * y - 0.0012 * (np.abs(x) - 60) ** 2 - 6 * np.clip(x / 20, 0, 1)
    horizontal = z - build.horizontal - 0.0015 * (y + 30) ** 2 + 0.06 * (np.abs(x) - 60)
    return oblique / (1 + slope**2) ** 0.5, horizontal


def _cover(distance_outside: np.ndarray, width: float = 2.5) -> np.ndarray:
    """Share of a voxel that lies inside a surface."""
    return np.clip(0.5 - distance_outside / width, 0, 1)


def _paint(hu: np.ndarray, share: np.ndarray, value: float | np.ndarray) -> None:
    hu += share * (value - hu)


def _body(build: Build, own, wall, lung, spine, above) -> np.ndarray:
    """HU of everything but the lungs (filled with soft tissue) and the intrapulmonary trees."""
    _, y, x = own
    skin = -wall - build.muscle - 14 - build.fat
    # shoulders: the trunk stays wide where the cage narrows
    across, along = np.abs(x) / (142 + build.muscle + build.fat), np.abs(y - 4) / (94 + build.fat)
    skin = np.minimum(skin, (np.cbrt(across * across * across + along * along * along) - 1) * 95)
    hu = np.full(GRID.shape, AIR, np.float32)
    _paint(hu, _cover(skin), FAT)
    _paint(hu, _cover(skin) * _cover(-2.5 - skin), 20.0)
    _paint(hu, _cover(np.maximum(-wall - build.muscle - 14, skin + build.fat * 0.8)), SOFT + 5)
    _ribs(hu, build, own, wall)
    _paint(hu, _cover(-wall - 4) * _cover(lung + 1), FAT)  # mediastinal and abdominal fat
    _abdomen(hu, build, own, wall, above)
    _mediastinum(hu, build, own)
    _spine(hu, own, spine)
    _paint(hu, _cover(-lung - 3.0, 3.0), SOFT)  # what appears when a lung moves away from its wall
    for tube in AIRWAYS:
        _paint_tube(hu, own, tube, 20.0, wider=2.0)
    for tube in AIRWAYS:
        _paint_tube(hu, own, tube, -990.0)
    table = np.abs(GRID.axes()[1] - 118 + 0.0006 * GRID.axes()[2] ** 2) - 2
    _paint(hu, _cover(table) * (hu < -900), -300.0)
    return hu


def _ribs(hu, build: Build, own, wall) -> None:
    """Twelve pairs: tubes in the chest wall that drop from the spine to the front, ending in cartilage."""
    shell = np.flatnonzero((wall < 0) & (wall > -18))
    z, y, x, wall = (f.reshape(-1)[shell] for f in (*own, wall))
    chest = hu.reshape(-1)[shell]
    around = np.arctan2(np.abs(x), y)  # 0 behind, pi in front
    level = z + build.rib_drop * np.sin(np.clip(around - 0.25, 0, 2.2) / 2.2 * np.pi / 2) - build.rib_phase
    level = (level + 12) % 24 - 12
    outside = 7 * (np.sqrt((level / 6.0) ** 2 + ((wall + 9) / 4.5) ** 2) - 1)
    bony = _cover(around - 2.45, 0.1) * (np.abs(x) > 12)
    _paint(chest, _cover(outside) * (1 - bony) * (around < 2.9), 110.0)
    _paint(chest, _cover(outside) * bony, 480.0)
    _paint(chest, _cover(outside + 2.6) * bony, BONE)
    sternum = np.maximum(np.abs(x) - 17, np.abs(wall + 9) - 5)
    sternum = np.maximum(sternum, np.maximum(y + 30, -30 - z))
    _paint(chest, _cover(sternum), 400.0)
    _paint(chest, _cover(sternum + 2.5), 160.0)
    hu.reshape(-1)[shell] = chest


def _abdomen(hu, build: Build, own, wall, above) -> None:
    """Liver, stomach with gas or without, spleen, in fat, all below the diaphragm."""
    under = np.flatnonzero((above < 0) & (wall > 0))
    z, y, x, wall, above = (f.reshape(-1)[under] for f in (*own, wall, above))
    belly = hu.reshape(-1)[under]
    below = -above - 2
    _paint(belly, _cover(-np.minimum(below, wall - 2)), FAT)
    liver = np.maximum(-np.minimum(below, wall - 3), x - 30 - 0.3 * (z + 90))
    _paint(belly, _cover(liver), 58.0)
    stomach = np.maximum(-np.minimum(below - 5, wall - 8), _ellipsoid((z, y, x), (-105, -12, 66), (42, 48, 40)))
    _paint(belly, _cover(stomach), 30.0)
    spleen = np.maximum(-np.minimum(below - 2, wall - 4), _ellipsoid((z, y, x), (-112, 52, 88), (40, 30, 24)))
    _paint(belly, _cover(spleen), 50.0)
    if build.gas:
        gas = np.maximum(stomach + 6, _ellipsoid((z, y, x), (build.dome[1] - 38, -25, 60), (build.gas,) * 3))
        _paint(belly, _cover(gas), -960.0)
    hu.reshape(-1)[under] = belly


def _mediastinum(hu, build: Build, own) -> None:
    heart = _ellipsoid(own, build.heart, build.heart_radius) + 4
    _paint(hu, _cover(heart), SOFT)
    for tube in GREAT_VESSELS:
        _paint_tube(hu, own, tube, SOFT)


def _spine(hu, own, spine) -> None:
    """Bodies and discs, a canal, arches behind; `spine` is the depth outside the paravertebral outline."""
    canal_y = 87.0
    box = _box((-150, 40, -45), (150, 125, 45))
    z, y, x, spine = (f[box] for f in (*own, spine))
    back = hu[box]
    level = np.abs((z + 12) % 25 - 12.5)
    body = spine + 7
    _paint(back, _cover(spine + 3), SOFT)
    arch = np.maximum(np.abs(x) - 24 + 0.5 * np.abs(y - canal_y), np.abs(y - canal_y - 2) - 13)
    _paint(back, _cover(arch) * (level < 9), 260.0)
    process = np.maximum(np.abs(x) - 3.5, np.abs(y - canal_y - 18) - 10)
    _paint(back, _cover(process) * (level < 8), 300.0)
    _paint(back, _cover(body), 80.0)
    _paint(back, _cover(np.maximum(body, level - 9.5)), 420.0)
    _paint(back, _cover(np.maximum(body + 2.5, level - 7.5)), 170.0)
    _paint(back, _cover(np.hypot(x, y - canal_y) - 8), 25.0)


def _paint_tube(hu, own, tube, value: float, wider: float = 0.0) -> None:
    """Paint a tube with round ends (start, end, radius) in the part of the grid where it can be."""
    start, end, radius = tube
    reach = radius + wider + 16
    box = _box(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    along = [e - s for s, e in zip(start, end, strict=True)]
    from_start = [f[box] - s for f, s in zip(own, start, strict=True)]
    share = np.clip(sum(r * a for r, a in zip(from_start, along, strict=True)) * (1 / sum(a * a for a in along)), 0, 1)
    away = np.sqrt(sum((r - share * a) ** 2 for r, a in zip(from_start, along, strict=True)))
    _paint(hu[box], _cover(away - radius - wider), value)


def _box(low, high) -> tuple[slice, ...]:
    """Slices of GRID between two corners, mm."""
    first = np.floor((np.asarray(low) - GRID.origin) / GRID.spacing).astype(int)
    last = np.ceil((np.asarray(high) - GRID.origin) / GRID.spacing).astype(int) + 1
    return tuple(slice(max(f, 0), max(e, 0)) for f, e in zip(first, last, strict=True))
