"""The vector quantiser against known answers, an independent implementation, and the faults of its ancestors."""

import time

import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from lung4d.vqgan.quantiser import EPSILON, Quantiser, perplexity


def fresh(codes, embedding, mode="ema", decay=0.99, restart_after=100):
    return Quantiser(codes, embedding, mode, decay, restart_after)


def make(codebook, **settings):
    """A quantiser that has its codebook already."""
    quantiser = fresh(*codebook.shape, **settings)
    with torch.no_grad():
        quantiser.codebook.copy_(codebook)
    quantiser.total.copy_(codebook)
    quantiser.initialised.fill_(True)
    return quantiser


def latent(vectors):
    """Vectors (N, c) as a latent (1, c, N, 1, 1)."""
    return vectors.T[None, :, :, None, None]


def test_nearest_code_and_losses_are_the_known_ones():
    quantiser = make(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])).eval()
    result = quantiser(latent(torch.tensor([[0.9, 0.1], [0.0, 1.4], [0.0, 1.6], [0.4, 0.0]])))
    assert result.codes.flatten().tolist() == [1, 0, 2, 0]
    wanted = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    assert torch.equal(result.embeddings, latent(wanted))
    assert result.commitment.item() == pytest.approx((0.01 + 0.01 + 1.4**2 + 1.4**2 + 0.16) / 8)
    assert result.codebook.item() == 0
    assert result.perplexity.item() == pytest.approx(4 / 2**0.5)  # frequencies 1/2, 1/4, 1/4: entropy 1.5 bits


def test_codes_are_the_brute_force_ones_and_keep_the_shape():
    torch.manual_seed(0)
    quantiser = make(torch.randn(50, 7)).eval()
    z = torch.randn(2, 7, 3, 4, 5)
    result = quantiser(z)
    brute = torch.cdist(z.movedim(1, -1).reshape(-1, 7).double(), quantiser.codebook.double()).argmin(1)
    assert torch.equal(result.codes, brute.reshape(2, 3, 4, 5))
    assert torch.equal(quantiser.embed(result.codes), result.embeddings)
    assert result.embeddings.shape == z.shape


def test_gradient_is_straight_through_and_commitment_reaches_the_latent_only():
    quantiser = make(torch.randn(8, 3))
    z = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    weights = torch.randn(1, 3, 2, 2, 2)
    (quantiser(z).embeddings * weights).sum().backward()
    assert torch.equal(z.grad, weights)
    z.grad = None
    result = quantiser(z)
    result.commitment.backward()
    torch.testing.assert_close(z.grad, 2 * (z - result.embeddings).detach() / z.numel())


def test_gradient_codebook_is_moved_by_its_loss_and_not_by_averages():
    codebook = torch.tensor([[0.0, 0.0], [4.0, 4.0]])
    quantiser = make(codebook, mode="gradient")
    result = quantiser(latent(torch.tensor([[1.0, 0.0], [5.0, 4.0]])))
    result.codebook.backward()
    quantiser.update()
    assert torch.equal(quantiser.codebook.detach(), codebook)
    torch.testing.assert_close(quantiser.codebook.grad, torch.tensor([[-0.5, 0.0], [-0.5, 0.0]]))


def test_ema_update_is_that_of_vector_quantize_pytorch():
    torch.manual_seed(1)
    codebook = torch.randn(32, 6)
    oracle = VectorQuantize(dim=6, codebook_size=32, decay=0.99, eps=EPSILON, threshold_ema_dead_code=0)
    oracle._codebook.embed.data.copy_(codebook[None])
    oracle._codebook.embed_avg.data.copy_(codebook[None])
    oracle._codebook.cluster_size.data.fill_(1)
    oracle._codebook.initted.data.fill_(True)
    quantiser = make(codebook)
    for _ in range(5):
        vectors = torch.randn(200, 6)
        _, codes, _ = oracle.train()(vectors[None])
        assert torch.equal(quantiser.train()(latent(vectors)).codes.flatten(), codes.flatten())
        quantiser.update()
        torch.testing.assert_close(quantiser.codebook, oracle._codebook.embed[0])
        torch.testing.assert_close(quantiser.count, oracle._codebook.cluster_size[0])


def test_statistics_of_micro_steps_are_applied_once_a_step():
    torch.manual_seed(2)
    vectors, codebook = torch.randn(60, 4), torch.randn(5, 4)
    whole, parts = make(codebook), make(codebook)
    whole(latent(vectors))
    for part in vectors.split(20):
        parts(latent(part))
        assert torch.equal(parts.codebook, codebook)  # nothing moves before `update`
    whole.update()
    parts.update()
    torch.testing.assert_close(whole.codebook, parts.codebook)
    assert torch.equal(whole.count, parts.count)
    moved = parts.codebook.clone()
    parts.update()  # without new statistics, as a second optimiser of the same step would
    assert torch.equal(parts.codebook, moved)


def test_evaluation_changes_nothing():
    quantiser = fresh(8, 4).eval()
    before = {name: value.clone() for name, value in quantiser.state_dict().items()}
    quantiser(torch.randn(1, 4, 3, 3, 3))
    quantiser.update()
    assert all(torch.equal(value, before[name]) for name, value in quantiser.state_dict().items())


def test_codebook_comes_from_the_first_batch_and_only_from_it():
    quantiser = fresh(16, 4)
    vectors = torch.randn(100, 4)
    quantiser(latent(vectors))
    first = quantiser.codebook.clone()
    assert all((vectors == code).all(1).any() for code in first)
    assert len(first.unique(dim=0)) == 16
    quantiser(latent(torch.randn(100, 4)))
    assert torch.equal(quantiser.codebook, first)


def test_a_first_batch_smaller_than_the_codebook_will_do():
    quantiser = fresh(16, 4)
    vectors = torch.randn(5, 4)
    quantiser(latent(vectors))
    assert len(quantiser.codebook.unique(dim=0)) == 5


def test_a_resumed_codebook_is_not_initialised_again():
    quantiser = fresh(16, 4)
    quantiser(torch.randn(1, 4, 5, 5, 5))
    resumed = fresh(16, 4)
    resumed.load_state_dict(quantiser.state_dict())
    resumed(torch.randn(1, 4, 5, 5, 5))
    assert torch.equal(resumed.codebook, quantiser.codebook)


@pytest.mark.parametrize("mode", ["ema", "gradient"])
def test_codes_unused_for_long_are_drawn_anew_with_fresh_statistics(mode):
    codebook = torch.tensor([[0.0, 0.0], [100.0, 100.0]])
    quantiser = make(codebook, mode=mode, restart_after=3)
    vectors = 0.1 * torch.randn(50, 2)
    for step in range(3):
        assert quantiser.codebook[1, 0] > 50, step
        quantiser(latent(vectors))
        quantiser.update()
    assert (vectors == quantiser.codebook[1]).all(1).any()
    assert quantiser.count[1] == 1 and quantiser.unused[1] == 0
    assert torch.equal(quantiser.total[1], quantiser.codebook[1])
    assert not (vectors == quantiser.codebook[0]).all(1).any()  # a used code is left alone


def test_a_million_vectors_on_one_code_give_no_nan():
    quantiser = make(torch.tensor([[0.0, 0.0]] + [[50.0 + k, 9.0] for k in range(255)]), restart_after=10**9)
    vectors = torch.full((1, 2, 100, 100, 100), 0.25)
    for _ in range(3):
        result = quantiser(vectors)
        assert int(quantiser.step_count[0]) == 1_000_000
        quantiser.update()
    for value in (*quantiser.state_dict().values(), result.embeddings, result.commitment):
        assert torch.isfinite(value.float()).all()
    assert result.perplexity.item() == pytest.approx(1)


def test_it_computes_in_float32_under_autocast():
    quantiser = make(torch.tensor([[1.0], [1.001]])).eval()  # one and the same number in bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        result = quantiser(torch.tensor([1.0009]).reshape(1, 1, 1, 1, 1))
    assert result.codes.item() == 1
    assert result.embeddings.dtype == torch.float32


def test_memory_is_that_of_chunks_and_time_is_short():
    """98,304 vectors (a full-size scan) and 256 codes: no N x K matrix, at most 0.15 CPU-seconds."""
    quantiser = make(torch.randn(256, 16)).eval()
    z = torch.randn(1, 16, 24, 64, 64)
    quantiser(z)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        quantiser.nearest(z.movedim(1, -1).reshape(-1, 16))
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.15
    with torch.profiler.profile(profile_memory=True) as profile:
        quantiser(z)
    largest = max(abs(event.self_cpu_memory_usage) for event in profile.key_averages())
    assert largest < 98_304 * 256 * 4 + 64 * 2**20  # the sum over chunks, not one-hot matrices beside it


def test_perplexity_of_even_and_empty_counts():
    assert perplexity(torch.full((64,), 3)).item() == pytest.approx(64, rel=1e-5)
    assert perplexity(torch.zeros(4, dtype=torch.long)).item() == pytest.approx(1)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"train_vqgan.quantiser is 'sum'"):
        fresh(4, 4, mode="sum")
