# The two trainings and what they give: codes per scan, and volumes at any year.
# Needs: results/resample and results/split; for volumes on the visits' own grids convert, segment and register too.
# Leaves: results/train_vqgan, extract_latents, train_ode, generate_trajectories. These rules use a GPU where there is one. Both trainings keep checkpoints beside their model,
# undeclared, so that a killed job goes on where it was.


rule train_vqgan:
    input:
        split=training_split,
        weights=weights_file("train_vqgan", "perceptual_weights", perceptual="vgg"),
    output:
        model="results/train_vqgan/model.pt",
        history="results/train_vqgan/history.parquet",
        progress=progress_picture("results/train_vqgan/progress.png", "3D-VQ-GAN", "of this run"),
    log:
        "results/logs/train_vqgan/train_vqgan.log",
    conda:
        "../envs/train_vqgan.yaml"
    threads: 8
    resources:
        processes=1,  # that train together, one a GPU
    params:
        **stage_params("train_vqgan"),
        folders=folders("resample"),
        checkpoints="results/train_vqgan/checkpoints",
    script:
        "../scripts/train_vqgan.py"


rule extract_latents:
    input:
        model="results/train_vqgan/model.pt",
        split="results/split/split.tsv",
        volumes=of_patient("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
        masks=of_patient("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
    output:
        folder=directory("results/extract_latents/sub-{subject}"),
    log:
        "results/logs/extract_latents/sub-{subject}.log",
    conda:
        "../envs/extract_latents.yaml"
    params:
        **stage_params("extract_latents"),
        folders=folders("resample"),
    script:
        "../scripts/extract_latents.py"


rule train_ode:
    input:
        split="results/split/split.tsv",
        vqgan="results/train_vqgan/model.pt",
        latents=LATENTS,
    output:
        model="results/train_ode/model.pt",
        history="results/train_ode/history.parquet",
        progress=progress_picture("results/train_ode/progress.png", "disease model", "of this run"),
        residuals="results/train_ode/residuals.tsv",
    log:
        "results/logs/train_ode/train_ode.log",
    conda:
        "../envs/train_ode.yaml"
    threads: 8
    resources:
        processes=1,  # that train together, one a GPU
    params:
        **stage_params("train_ode"),
        folders=folders("segment", "resample", "extract_latents"),
        checkpoints="results/train_ode/checkpoints",
    script:
        "../scripts/train_ode.py"


# What drawing on the visits' own grids needs.
NATIVE = (
    {
        "scans": of_patient("results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz"),
        "lungs": of_patient("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        "inverses": of_patient(
            "results/register/sub-{subject}/sub-{subject}_ses-{session}_from-native_to-baseline_xfm.nii.gz"
        ),
    }
    if config["generate_trajectories"]["native"] != "none"
    else {}
)


rule generate_trajectories:
    input:
        **NATIVE,
        split="results/split/split.tsv",
        vqgan="results/train_vqgan/model.pt",
        ode="results/train_ode/model.pt",
        latents="results/extract_latents/sub-{subject}",
        volumes=of_patient("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
        masks=of_patient("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        expansions=of_patient("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-logjacobian_map.nii.gz"),
    output:
        folder=report(
            directory("results/generate_trajectories/sub-{subject}"),
            patterns=["sub-{patient}_plane-{plane}_strip.png"],
            caption="../report/trajectories.rst",
            category="Trajectories",
            labels={"patient": "{patient}", "plane": "{plane}"},
        ),
    log:
        "results/logs/generate_trajectories/sub-{subject}.log",
    conda:
        "../envs/generate_trajectories.yaml"
    params:
        **stage_params("generate_trajectories"),
        folders=folders("segment"),
    script:
        "../scripts/generate_trajectories.py"
