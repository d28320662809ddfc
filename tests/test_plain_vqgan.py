"""The plain 3D-VQ-GAN that benchmarks/vqgan.py measures ours against is the same network, done otherwise."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from helpers.defaults import settings_of
from lung4d.vqgan.model import VQGAN, VQGANSettings
from lung4d.vqgan.options import VQGANTraining
from plain_vqgan import PlainVQGAN, discriminators_turn, generator_turn
from steps import METHODS, build, count_flops, step

TINY = settings_of(VQGANSettings, codes=16, embedding=4, width=4, norm="group")
SMALL = settings_of(VQGANTraining, discriminator_channels=4, planes=("axial",))


def shapes(module):
    return sorted(tuple(parameter.shape) for parameter in module.parameters())


@pytest.mark.parametrize(
    "settings",
    [settings_of(VQGANSettings, norm="group"), TINY, settings_of(VQGANSettings, width=4, compression=8, norm="group")],
)
def test_it_has_the_parameters_of_ours(settings):
    assert shapes(PlainVQGAN(settings)) == shapes(VQGAN(settings))


def test_its_encoder_and_decoder_compute_what_ours_do():
    torch.manual_seed(0)
    ours, plain = VQGAN(TINY), PlainVQGAN(TINY)
    for theirs, own in ((plain.encoder, ours.encoder), (plain.decoder, ours.decoder)):
        for to, source in zip(in_order(theirs), in_order(own), strict=True):
            to.load_state_dict(source.state_dict())
    volume, latent = torch.rand(1, 1, 16, 8, 12) - 0.5, torch.randn(1, 4, 4, 2, 3)
    torch.testing.assert_close(plain.encoder(volume), ours.encoder(volume))
    torch.testing.assert_close(plain.decoder(latent), ours.decoder(latent))


def in_order(module):
    """Layers with parameters in the order of computation; a residual block of ours alternates norm and convolution."""
    if hasattr(module, "first_norm"):
        return [module.first_norm, module.first_conv.conv, module.second_norm, module.second_conv.conv]
    children = list(module.children())
    if not children:
        return [module] if list(module.parameters()) else []
    return [layer for child in children for layer in in_order(child)]


def test_reconstruction_has_the_shape_of_the_volume_and_the_codebook_moves():
    torch.manual_seed(0)
    model = PlainVQGAN(TINY)
    before = model.codebook.embeddings.clone()
    reconstruction, commitment = model(torch.rand(1, 1, 16, 8, 12) - 0.5)
    assert reconstruction.shape == (1, 1, 16, 8, 12)
    assert torch.isfinite(reconstruction).all() and torch.isfinite(commitment)
    assert not torch.equal(model.codebook.embeddings, before)


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_each_turn_trains_its_own_networks_with_finite_losses(factor):
    torch.manual_seed(0)
    parts = build("plain", torch.device("cpu"), TINY, SMALL)
    volume = torch.rand(1, 1, 32, 32, 32) - 0.5
    assert torch.isfinite(generator_turn(parts, volume, factor))
    assert all(parameter.grad is not None for parameter in parts.model.parameters())
    assert all(parameter.grad is None for parameter in parts.discriminators.parameters())
    gradients = [parameter.grad.clone() for parameter in parts.model.parameters()]
    assert torch.isfinite(discriminators_turn(parts, volume, factor))
    for parameter, gradient in zip(parts.model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)
    moved = sum(parameter.grad.abs().sum() for parameter in parts.discriminators.parameters())
    assert (moved > 0) == (factor > 0)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(METHODS))
def test_operations_counted_without_data_are_those_of_a_real_step(method):
    with FlopCounterMode(display=False) as counter:
        losses = step(method, build(method, torch.device("cpu"), TINY, SMALL), torch.rand(1, 1, 32, 32, 32) - 0.5, True)
    assert all(torch.isfinite(value) for value in losses.values())
    assert count_flops(method, (32, 32, 32), True, settings=TINY, options=SMALL) == counter.get_total_flops()
