"""The codebook: how much each code is used, each code decoded, and real patches that it stands for."""

from collections import defaultdict
from functools import partial

from lung4d import logs
from lung4d.codebook.decoding import decode_codes
from lung4d.codebook.shown import DECODED, PATCH, WITH_PATCHES, most_used
from lung4d.codebook.usage import Tally, cut_patch, usage_table, with_decoded
from lung4d.figures.codes import decoded_figure, exemplar_figure
from lung4d.io.atomic import atomic
from lung4d.io.latents import load_codes, load_latents
from lung4d.io.names import LATENTS, VOLUME, scan_file
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import open_volume
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
files, output = snakemake.input, snakemake.output
model = load_vqgan(files.model, choose_device(snakemake.threads))
settings = model.settings

volume_of = partial(scan_file, snakemake.params.folders["resample"], ending=VOLUME)
latents_of = partial(scan_file, snakemake.params.folders["extract_latents"], ending=LATENTS)
tally = Tally(settings.codes, settings.compression)
scans = list(read_table(files.split)[["subject", "session", "split"]].itertuples(index=False))
for subject, session, split in logs.progress(scans, len(scans), "scans"):
    scan = (subject, session)
    tally.add(scan, split, *load_codes(latents_of(*scan)), open_volume(volume_of(*scan)))

table = usage_table(tally)
codes = table.loc[table["rank"] <= DECODED, "code"].to_numpy()
first = next((subject, session) for subject, session, split in scans if split == "train")
blocks = decode_codes(model, codes, load_latents(latents_of(*first)).embeddings)
table = with_decoded(table, codes, blocks)

places = tally.places.drop(columns="draw")

patches = defaultdict(list)
for place in places[places["code"].isin(most_used(table, WITH_PATCHES)["code"])].itertuples():
    hu = open_volume(volume_of(place.subject, place.session))
    patches[place.code].append(cut_patch(hu, (place.z, place.y, place.x), PATCH * settings.compression))

write_table(table, output.table)
write_table(places, output.exemplars)
pictures = {output.decoded_picture: decoded_figure(table, dict(zip(codes, blocks, strict=True)))}
pictures[output.exemplar_picture] = exemplar_figure(table, patches)
for path, png in pictures.items():
    with atomic(path) as temporary:
        temporary.write_bytes(png)
logger.info("%d of %d codes are used in %d scans", table["used"].sum(), len(table), len(scans))
