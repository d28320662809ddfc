"""The 3D-VQ-GAN's networks, losses and storage against known answers."""

import math

import pytest
import torch
from torch.nn import functional as F

from helpers.defaults import defaults, settings_of
from lung4d.vqgan import acquisitions
from lung4d.vqgan.acquisitions import vary_acquisition
from lung4d.vqgan.discriminators import Discriminators, draw_positions, take_slices
from lung4d.vqgan.layers import NormSiLU, VoxelNormSiLU, replicate
from lung4d.vqgan.losses import discriminator_loss, feature_matching_loss, generator_loss, reconstruction_loss
from lung4d.vqgan.model import VQGAN, VQGANSettings, load_vqgan, parameter_hash, save_vqgan
from lung4d.vqgan.networks import Conv, UpConv, norm_groups
from lung4d.vqgan.perceptual import Perceptual, VGGFeatures, load_perceptual

TINY = settings_of(VQGANSettings, codes=16, embedding=4, width=2)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_generator_has_the_number_of_parameters_of_the_method():
    assert parameters(VQGAN(settings_of(VQGANSettings))) == 1_392_113
    assert parameters(VQGAN(settings_of(VQGANSettings, quantiser="gradient"))) == 1_392_113 + 256 * 16


def test_layer_sizes_are_those_of_the_table():
    model = VQGAN(settings_of(VQGANSettings, norm="group"))
    channels = [layer.out_channels for layer in model.encoder.layers if hasattr(layer, "out_channels")]
    assert channels == [16, 32, 64, 16]
    channels = [layer.out_channels for layer in model.decoder.layers if hasattr(layer, "out_channels")]
    assert channels == [64, 64, 32, 1]
    norms = [module for module in model.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert {norm.num_groups for norm in norms} == {32}


@pytest.mark.parametrize("compression", [2, 4, 8])
@pytest.mark.parametrize("width", [1, 2, 3, 12])
def test_every_width_and_compression_builds_and_returns_to_its_shape(width, compression):
    model = VQGAN(settings_of(VQGANSettings, codes=8, embedding=3, width=width, compression=compression)).eval()
    x = torch.zeros(2, 1, 16, 8, 24)
    z = model.encode(x)
    assert z.shape == (2, 3, 16 // compression, 8 // compression, 24 // compression)
    reconstruction, quantised = model(x)
    assert reconstruction.shape == x.shape
    assert quantised.codes.shape == z.shape[:1] + z.shape[2:] and quantised.codes.dtype == torch.long


def test_compression_8_adds_one_level():
    four, eight = VQGAN(settings_of(VQGANSettings, width=4)), VQGAN(settings_of(VQGANSettings, width=4, compression=8))
    assert len(eight.encoder.layers) == len(four.encoder.layers) + 2
    assert len(eight.decoder.layers) == len(four.decoder.layers) + 3


def test_sizes_and_compressions_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="multiples of 4"):
        VQGAN(TINY).encode(torch.zeros(1, 1, 10, 8, 8))
    with pytest.raises(ValueError, match=r"train_vqgan.compression is 6"):
        VQGAN(settings_of(VQGANSettings, compression=6))


@pytest.mark.parametrize("channels, groups", [(1, 1), (6, 6), (32, 32), (48, 24), (64, 32), (80, 20)])
def test_groups_are_32_or_the_largest_divisor_below(channels, groups):
    assert norm_groups(channels) == groups


@pytest.mark.parametrize("kernel, stride", [(1, 1), (3, 1), (4, 2)])
def test_convolutions_replicate_the_border(kernel, stride):
    torch.manual_seed(0)
    layer = Conv(2, 3, kernel, stride)
    x = torch.randn(1, 2, 8, 6, 4)
    padded = F.pad(x, ((kernel - 1) // 2,) * 6, mode="replicate")
    torch.testing.assert_close(layer(x), F.conv3d(padded, layer.weight, layer.bias, stride))
    constant = layer(torch.full((1, 2, 8, 8, 8), 0.3))
    torch.testing.assert_close(constant, constant[:, :, :1, :1, :1].expand_as(constant))


def test_transposed_convolution_doubles_and_replicates_the_border():
    torch.manual_seed(0)
    layer = UpConv(2, 3)
    x = torch.randn(1, 2, 4, 5, 6)
    wide = F.conv_transpose3d(F.pad(x, (3,) * 6, mode="replicate"), layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(x), wide[:, :, 7:15, 7:17, 7:19])  # the same away from any border
    constant = layer(torch.full((1, 2, 4, 4, 4), 0.3))
    torch.testing.assert_close(constant, constant[:, :, :2, :2, :2].repeat(1, 1, 4, 4, 4))


def test_a_latent_position_sees_voxels_around_its_own_block_only():
    """Position p sees voxels 4 p - 16 to 4 p + 19: its block and 16 around it. The norms, which see no neighbour, are
    left out: over two channels they tell hardly anything.

    Going down: the block of E4 sees +-2 positions, E3 [2p-1, 2p+2], the block of E2 +-2, E1 [2p-1, 2p+2], E0 +-1.
    """
    torch.manual_seed(0)
    encoder = VQGAN(settings_of(VQGANSettings, codes=8, embedding=4, width=2)).double().encoder
    for module in encoder.modules():
        if isinstance(module, VoxelNormSiLU):
            module.forward = F.silu
    x = torch.randn(1, 1, 64, 64, 64, dtype=torch.double)
    changed = x.clone()
    changed[0, 0, 32, 32, 32] += 1
    with torch.no_grad():
        moved = (encoder(changed) - encoder(x)).abs().amax((0, 1)).nonzero()
    assert moved.amin(0).tolist() == [4, 4, 4] and moved.amax(0).tolist() == [12, 12, 12]


def test_saved_model_comes_back_frozen_and_equal(tmp_path):
    model = VQGAN(TINY)
    model(torch.randn(1, 1, 8, 8, 8))  # gives it a codebook
    for name in ("model.pt", "other.pt"):
        save_vqgan(model, tmp_path / name, selection={"select": "held_out"})
    assert (tmp_path / "model.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()  # stage 2 looks at the bytes
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content["window"] == (-1000, 500) and content["selection"] == {"select": "held_out"}
    loaded = load_vqgan(tmp_path / "model.pt", "cpu")
    assert loaded.settings == TINY and not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert parameter_hash(loaded) == parameter_hash(model)
    x = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(loaded(x)[0], model.eval()(x)[0])


def test_parameter_hash_sees_weights_and_codebook():
    model = VQGAN(TINY)
    hashes = [parameter_hash(model)]
    with torch.no_grad():
        model.decoder.layers[0].weight[0, 0] += 1e-6
        hashes.append(parameter_hash(model))
        model.quantiser.codebook[0, 0] += 1
        hashes.append(parameter_hash(model))
    assert len(set(hashes)) == 3


def test_settings_take_their_own_keys_only():
    made = VQGANSettings.of({**defaults("train_vqgan"), "width": 4, "steps": 7, "window": [-900, 400]})
    assert (made.width, made.window, made.codes) == (4, (-900, 400), 256)
    assert not hasattr(made, "steps")


def test_embed_and_decode_of_codes_is_the_reconstruction():
    model = VQGAN(TINY)
    model(torch.randn(1, 1, 8, 8, 8))
    model.eval()
    reconstruction, quantised = model(torch.randn(1, 1, 8, 8, 8))
    assert torch.equal(model.decode(model.embed(quantised.codes)), reconstruction)


# Losses


def scores(*batches):
    """Feature lists as a discriminator returns them: one inner layer of zeros, then the patch scores."""
    return [[torch.zeros(1, 2), torch.tensor(batch)] for batch in batches]


def test_reconstruction_loss_is_the_mean_absolute_difference():
    assert reconstruction_loss(torch.tensor([0.5, -0.5]), torch.tensor([0.0, 0.5])).item() == 0.75


def test_hinge_losses():
    # 3D, then two planes that share one vote
    real, fake = scores([2.0, 0.5], [1.0], [0.0]), scores([-2.0, 0.5], [1.0], [-1.0])
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(0.25 + 0.5 * (0 + 1) + 0.75 + 0.5 * (2 + 0))
    assert generator_loss("hinge", fake).item() == pytest.approx(0.75 + 0.5 * (-1 + 1))


def test_log_losses_are_those_of_equation_3():
    real, fake = scores([0.3], [1.2]), scores([-0.4], [0.1])

    def sigmoid(score):
        return 1 / (1 + math.exp(-score))

    on_real = -math.log(sigmoid(0.3)) - math.log(sigmoid(1.2))
    on_fake = -math.log(1 - sigmoid(-0.4)) - math.log(1 - sigmoid(0.1))
    assert discriminator_loss("log", real, fake).item() == pytest.approx(on_real + on_fake, rel=1e-5)
    expected = -math.log(sigmoid(-0.4)) - math.log(sigmoid(0.1))
    assert generator_loss("log", fake).item() == pytest.approx(expected, rel=1e-5)


def test_feature_matching_leaves_the_scores_out():
    real = [
        [torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([100.0])],
        [torch.tensor([1.0]), torch.tensor([0.0])],
    ]
    fake = [[torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([0.0])], [torch.tensor([3.0]), torch.tensor([9.0])]]
    assert feature_matching_loss(real, fake).item() == pytest.approx((1 + 3) / 2 + 2)


# Discriminators and slices


def test_slices_are_those_of_the_planes():
    volume = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 1, 3, 4, 5)
    positions = {"axial": torch.tensor([2]), "coronal": torch.tensor([0, 3]), "sagittal": torch.tensor([1])}
    axial, coronal, sagittal = take_slices(volume, positions)
    assert torch.equal(axial, volume[:, :, 2])
    assert torch.equal(
        coronal, torch.stack([volume[0, :, :, 0], volume[0, :, :, 3], volume[1, :, :, 0], volume[1, :, :, 3]])
    )
    assert torch.equal(sagittal, volume[..., 1])


def test_positions_are_within_the_volume_and_follow_the_seed():
    shape = torch.Size([1, 1, 4, 5, 6])
    torch.manual_seed(0)
    first = draw_positions(shape, ["axial", "sagittal"], 200)
    assert set(first["axial"].tolist()) == set(range(4)) and set(first["sagittal"].tolist()) == set(range(6))
    torch.manual_seed(0)
    assert all(torch.equal(a, first[plane]) for plane, a in draw_positions(shape, ["axial", "sagittal"], 200).items())


def test_discriminators_have_the_layers_of_tats():
    model = Discriminators(64, "group")
    convolutions = [m for m in model.of_volume.modules() if isinstance(m, torch.nn.Conv3d)]
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions] == [
        (64, 4, 2), (128, 4, 2), (256, 4, 2), (512, 4, 1), (1, 4, 1)
    ]  # fmt: skip
    slopes = {m.negative_slope for m in model.modules() if isinstance(m, torch.nn.LeakyReLU)}
    assert slopes == {0.2}
    assert not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_discriminators_judge_volume_and_slices_of_all_planes(norm):
    model = Discriminators(4, norm)
    volume = torch.randn(2, 1, 32, 40, 48)
    slices = take_slices(volume, draw_positions(volume.shape, ["axial", "coronal", "sagittal"], 2))
    features = model(volume, slices)
    assert [len(batch) for batch in features] == [5, 5, 5, 5]
    assert features[0][-1].shape[:2] == (2, 1) and features[1][-1].shape[:2] == (4, 1)


@pytest.mark.parametrize("side", [8, 12, 16, 24, 32])
def test_discriminators_of_small_volumes_have_fewer_layers(side):
    model = Discriminators(2, "group", smallest=side)
    volume = torch.randn(1, 1, side, side, side)
    for batch in model(volume, take_slices(volume, {"axial": torch.tensor([0])})):
        assert batch[-1].numel() >= 1


# Perceptual term


@pytest.fixture(scope="module")
def efficientnet():
    return load_perceptual("efficientnet")


def test_perceptual_is_zero_for_equal_slices_and_grows_with_noise(efficientnet):
    torch.manual_seed(0)
    image = torch.rand(2, 1, 32, 48) - 0.5
    assert efficientnet([image], [image]).item() == 0
    noise = torch.randn_like(image)
    distances = [efficientnet([image + sd * noise], [image]).item() for sd in (0.01, 0.05, 0.2)]
    assert distances == sorted(distances) and distances[0] > 0


def test_perceptual_is_never_in_training_mode(efficientnet):
    """Dropout and batch statistics would be active in a training generator's loss otherwise."""
    parent = torch.nn.ModuleList([efficientnet]).train()
    assert not any(module.training for module in parent[0].modules())
    image, other = torch.rand(1, 1, 32, 32) - 0.5, torch.rand(1, 1, 32, 32) - 0.5
    before = {name: value.clone() for name, value in efficientnet.state_dict().items()}
    assert torch.equal(efficientnet([image], [other]), efficientnet([image], [other]))
    assert all(torch.equal(value, before[name]) for name, value in efficientnet.state_dict().items())


def test_perceptual_is_frozen_and_passes_the_gradient_to_the_reconstruction(efficientnet):
    image = (torch.rand(1, 1, 32, 32) - 0.5).requires_grad_()
    efficientnet([image], [torch.zeros(1, 1, 32, 32)]).backward()
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in efficientnet.parameters())


def test_perceptual_weighs_planes_equally(efficientnet):
    a, b = torch.rand(1, 1, 32, 32) - 0.5, torch.rand(3, 1, 32, 64) - 0.5
    zeros = [torch.zeros_like(a), torch.zeros_like(b)]
    both = efficientnet([a, b], zeros).item()
    apart = [efficientnet([a], zeros[:1]).item(), efficientnet([b], zeros[1:]).item()]
    assert both == pytest.approx(sum(apart) / 2, rel=1e-5)


def test_perceptual_distance_of_known_features():
    class Identity(torch.nn.Module):
        def forward(self, images):
            return [images]

    term = Perceptual(Identity())
    term.mean.zero_()
    term.sd.fill_(1)
    # a grey value g becomes the channels (g, g, g), of mean square g^2: +1 or -1 after normalisation
    dark, bright = torch.full((1, 1, 4, 4), -0.9), torch.full((1, 1, 4, 4), 0.1)
    assert term([bright], [dark]).item() == pytest.approx(2, rel=1e-3)
    assert term([bright], [3 * bright + 1]).item() == pytest.approx(0, abs=1e-3)


def test_vgg_loads_a_torchvision_state_dict_with_checksum(tmp_path):
    import hashlib

    names = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # torchvision's, of vgg16.features
    network = VGGFeatures()
    assert [name for name, _ in network.named_parameters()] == [
        f"features.{n}.{w}" for n in names for w in ("weight", "bias")
    ]
    path = tmp_path / "vgg16.pth"
    torch.save({**network.state_dict(), "classifier.0.weight": torch.zeros(1)}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    term = load_perceptual("vgg", str(path), sha256)
    taps = term.features(torch.zeros(1, 3, 32, 32))
    assert [tuple(tap.shape[1:]) for tap in taps] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    with pytest.raises(ValueError, match="SHA-256"):
        load_perceptual("vgg", str(path), "0" * 64)


def test_missing_weights_name_key_and_remedy():
    with pytest.raises(ValueError, match=r"train_vqgan.perceptual_weights is None.*set train_vqgan.perceptual"):
        load_perceptual("vgg", None)
    with pytest.raises(ValueError, match=r"'nowhere.pth', which is no file"):
        load_perceptual("vgg", "nowhere.pth")


def test_no_perceptual_term_only_where_the_config_says_so(caplog):
    assert load_perceptual("none") is None
    assert "without the perceptual term" in caplog.text
    with pytest.raises(ValueError, match="give 'vgg', 'efficientnet' or 'none'"):
        load_perceptual("lpips")


@pytest.mark.parametrize("width", [1, 2, 3])
def test_replicated_border_and_its_gradient_are_those_of_torch(width):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, 1, dtype=torch.double, requires_grad=True)
    ours, wanted = replicate(x, width), F.pad(x, (width,) * 6, mode="replicate")
    assert torch.equal(ours, wanted)
    gradient = torch.randn_like(wanted)
    kept = gradient.clone()
    torch.testing.assert_close(*(torch.autograd.grad(y, x, gradient)[0] for y in (ours, wanted)))
    assert torch.equal(gradient, kept)  # another consumer may hold it


@pytest.mark.parametrize("channels", [6, 16])
@pytest.mark.parametrize("dtype, tolerance", [(torch.double, 1e-7), (torch.float, 1e-4), (torch.bfloat16, 0.02)])
def test_norm_of_a_voxel_with_silu_and_its_gradients_are_those_of_torch(channels, dtype, tolerance):
    torch.manual_seed(0)
    layer = VoxelNormSiLU(channels, eps=1e-6).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = (2 * torch.randn(2, channels, 3, 9, 5, dtype=torch.double) + 3).to(dtype).double().requires_grad_(True)
    rows = F.layer_norm(x.movedim(1, -1), (channels,), layer.weight, layer.bias, 1e-6)
    wanted = F.silu(rows).movedim(-1, 1)
    gradient = torch.randn_like(wanted).to(dtype).double()
    wanted_gradients = torch.autograd.grad(wanted, [x, layer.weight, layer.bias], gradient)
    low = layer if dtype is torch.double else layer.float()
    given = x.detach().to(dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_(True)
    found = low(given)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    found_gradients = torch.autograd.grad(found, [given, low.weight, low.bias], gradient.to(dtype))
    for a, b in zip((found, *found_gradients), (wanted, *wanted_gradients), strict=True):
        assert (a.double() - b).norm().item() < tolerance * b.norm().item()


def test_with_the_norm_of_a_voxel_a_latent_is_of_its_surroundings_and_of_their_density():
    """What lies far away changes no bit of it; what is added to the whole scan does, and with groups of one channel,
    as a width of 8 has them, did not."""
    moved = {}
    for norm in ("voxel", "group"):
        torch.manual_seed(0)
        encoder = VQGAN(settings_of(VQGANSettings, width=8, norm=norm)).encoder
        x = 0.1 * torch.randn(1, 1, 16, 16, 64) - 0.3
        far = x.clone()
        far[..., 48:] = 0.4
        with torch.no_grad():
            z, other, denser = encoder(x), encoder(far), encoder(x + 100 / 1500)
        assert torch.equal(z[..., :4], other[..., :4]) == (norm == "voxel")
        moved[norm] = float((denser - z).norm() / (z - z.mean((2, 3, 4), keepdim=True)).norm())
    assert moved["group"] < 0.01 and moved["voxel"] > 0.1


def test_both_norms_have_as_many_parameters():
    counts = {
        sum(one.numel() for one in VQGAN(settings_of(VQGANSettings, norm=norm)).parameters())
        for norm in ("voxel", "group")
    }
    assert counts == {1_392_113}


def test_a_model_file_without_a_norm_is_one_of_groups(tmp_path):
    model = VQGAN(settings_of(VQGANSettings, width=4, norm="group"))
    save_vqgan(model, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    del content["settings"]["norm"]
    torch.save(content, tmp_path / "model.pt")
    assert load_vqgan(tmp_path / "model.pt").settings == model.settings


@pytest.mark.parametrize("channels, groups", [(6, 3), (6, 6), (4, 1)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.double, 1e-7), (torch.float, 1e-4), (torch.bfloat16, 0.02)])
def test_norm_with_silu_and_its_gradients_are_those_of_torch(channels, groups, dtype, tolerance):
    torch.manual_seed(0)
    layer = NormSiLU(groups, channels, eps=1e-6).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = (2 * torch.randn(2, channels, 13, 9, 11, dtype=torch.double) + 3).to(dtype).double().requires_grad_(True)
    wanted = F.silu(F.group_norm(x, groups, layer.weight, layer.bias, 1e-6))
    gradient = torch.randn_like(wanted).to(dtype).double()
    wanted_gradients = torch.autograd.grad(wanted, [x, layer.weight, layer.bias], gradient)
    low = layer if dtype is torch.double else layer.float()
    given = x.detach().to(dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_(True)
    found = low(given)
    found_gradients = torch.autograd.grad(found, [given, low.weight, low.bias], gradient.to(dtype))
    for a, b in zip((found, *found_gradients), (wanted, *wanted_gradients), strict=True):
        assert (a.double() - b).norm().item() < tolerance * b.norm().item()


def test_acquisitions_vary_offset_sharpness_and_noise_and_follow_from_the_seed():
    torch.manual_seed(0)
    volumes = (0.1 * torch.randn(64, 1, 8, 8, 8) - 0.2).clamp(-0.5, 0.5)
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        made.append(vary_acquisition(volumes, (-1000, 500)))
    assert torch.equal(*made)
    moved = 1500 * (made[0] - volumes)
    same = (moved == 0).all((1, 2, 3, 4))
    assert 0.1 < same.float().mean() < 0.45
    offsets = moved.mean((1, 2, 3, 4))[~same]
    assert 20 < offsets.abs().max() < 1.2 * acquisitions.OFFSET and offsets.min() < 0 < offsets.max()
    rough = [torch.diff(one, dim=4).square().mean((1, 2, 3, 4)) for one in (made[0], volumes)]
    ratio = (rough[0] / rough[1])[~same]
    assert ratio.min() < 0.7 and ratio.max() > 1.02, "some are softer, some sharper"
    assert made[0].min() >= -0.5 and made[0].max() <= 0.5


def test_an_even_volume_stays_even_but_for_noise(monkeypatch):
    monkeypatch.setattr(acquisitions, "NOISE", 0.0)
    made = vary_acquisition(torch.full((8, 1, 4, 5, 6), -0.2), (-1000, 500))
    torch.testing.assert_close(made, made[..., :1, :1, :1].expand_as(made))
