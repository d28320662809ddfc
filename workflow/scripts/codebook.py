"""The codebook: how much each code is used, each code decoded, and real patches that it stands for."""

from collections import defaultdict

from lung4d import logs
from lung4d.codebook.decoding import decode_codes
from lung4d.codebook.shown import DECODED, PATCH, WITH_PATCHES, most_used
from lung4d.codebook.usage import Tally, cut_patch, usage_table, with_decoded
from lung4d.figures.codes import decoded_figure, exemplar_figure
from lung4d.io.atomic import atomic
from lung4d.io.latents import load_codes, load_latents
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import open_volume
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.scans import encoded_scans
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
files, output, folders = snakemake.input, snakemake.output, snakemake.params.folders
model = load_vqgan(files.model, choose_device(snakemake.threads))
settings = model.settings

tally = Tally(settings.codes, settings.compression)
scans = encoded_scans(read_table(files.split), folders["resample"], folders["extract_latents"])
for scan in logs.progress(scans, len(scans), "scans"):
    tally.add(scan.key, scan.split, *load_codes(scan.latents), open_volume(scan.volume))

table = usage_table(tally)
codes = table.loc[table["rank"] <= DECODED, "code"].to_numpy()
first = next(scan for scan in scans if scan.split == "train")
blocks = decode_codes(model, codes, load_latents(first.latents).embeddings)
table = with_decoded(table, codes, blocks)

places, volumes = tally.places.drop(columns="draw"), {scan.key: scan.volume for scan in scans}

patches = defaultdict(list)
for place in places[places["code"].isin(most_used(table, WITH_PATCHES)["code"])].itertuples():
    hu = open_volume(volumes[place.subject, place.session])
    patches[place.code].append(cut_patch(hu, (place.z, place.y, place.x), PATCH * settings.compression))

write_table(table, output.table)
write_table(places, output.exemplars)
pictures = {output.decoded_picture: decoded_figure(table, dict(zip(codes, blocks, strict=True)))}
pictures[output.exemplar_picture] = exemplar_figure(table, patches)
for path, png in pictures.items():
    with atomic(path) as temporary:
        temporary.write_bytes(png)
logger.info("%d of %d codes are used in %d scans", table["used"].sum(), len(table), len(scans))
