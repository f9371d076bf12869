"""The fast recurrent layers are torch's own, outputs, states and gradients; and torch's own follow the
written equations."""

import numpy as np
import pytest
import torch
from torch import nn

from nbutils.pixelrnn import recurrent
from nbutils.pixelrnn.models import RecurrentConfig, build_cells


def cells(kind, inputs=2, units=5, layers=1):
    torch.manual_seed(0)
    made = (nn.GRU if kind == "gru" else nn.LSTM)(inputs, units, layers).double()
    for parameter in made.parameters():
        parameter.data *= 2  # gates that open and shut
    return made


def run_both(kind, layers, steps, inputs, carried):
    made, found = cells(kind, inputs, layers=layers), []
    for fused in (False, True):
        torch.manual_seed(1)
        made.zero_grad()
        sequence, state = (
            torch.randn(steps, 3, inputs).double().requires_grad_(),
            torch.randn(layers, 3, 5).double().requires_grad_(),
        )
        given = None if not carried else state if kind == "gru" else (state, state * 0.7)
        outputs, last = recurrent.run(made, sequence, given, fused=fused)
        last = last if isinstance(last, tuple) else (last,)
        loss = (outputs * torch.randn(outputs.shape).double()).sum() + sum(
            (part**2 * torch.randn(part.shape).double()).sum() for part in last
        )
        loss.backward()
        found.append(
            [
                outputs,
                *last,
                sequence.grad,
                *([state.grad] if carried else []),
                *(p.grad.clone() for p in made.parameters()),
            ]
        )
    return found


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("carried", [False, True])
def test_fused_layers_have_the_outputs_states_and_gradients_of_torchs(kind, layers, carried):
    for steps, inputs in ((8, 1), (40, 2)):
        for plain, fused in zip(*run_both(kind, layers, steps, inputs, carried)):
            assert torch.allclose(plain, fused, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 3])
def test_single_steps_go_on_as_torchs_cells_do_with_rows_taken_on_the_way(kind, layers):
    made, sequence = cells(kind, inputs=2, layers=layers), torch.randn(9, 4, 2).double()
    with torch.no_grad():
        _, state = made(torch.randn(3, 4, 2).double())
        given = [part.clone() for part in (state if kind == "lstm" else (state,))]
        first, steps = state, recurrent.Steps(made, state)
        for number, x in enumerate(sequence):
            outputs, state = made(x[None], state)
            assert torch.allclose(steps(x.t()), outputs[0].t(), rtol=0, atol=1e-12)
            if number == 4:
                rows = torch.tensor([3, 3, 0, 1])
                state = tuple(part[:, rows] for part in state) if kind == "lstm" else state[:, rows]
                steps.take(rows)
        with pytest.raises(ValueError, match="one direction"):
            recurrent.Steps(nn.GRU(2, 3, bidirectional=True), state)
    for before, after in zip(given, first if kind == "lstm" else (first,)):
        assert torch.equal(before, after)  # what was handed in stays


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_float32_agrees_to_its_rounding_over_hundreds_of_steps(kind):
    made = cells(kind, 1, 32).float()
    sequence = (torch.rand(400, 6, 1) > 0.8).float()
    plain, fused = (recurrent.run(made, sequence, fused=fused)[0] for fused in (False, True))
    assert (plain - fused).abs().max() < 1e-5


def test_two_passes_whose_gradients_are_taken_later_do_not_share_their_memory():
    made, sequences = cells("gru"), torch.randn(2, 30, 3, 2).double()
    expected = [
        torch.autograd.grad(recurrent.run(made, s, fused=False)[0].sum(), made.weight_hh_l0)[0]
        for s in sequences
    ]
    both = [recurrent.run(made, s)[0].sum() for s in sequences]
    assert torch.allclose(torch.autograd.grad(both[0], made.weight_hh_l0)[0], expected[0])
    third = recurrent.run(made, sequences[0])[0].sum()
    assert torch.allclose(torch.autograd.grad(both[1], made.weight_hh_l0)[0], expected[1])
    assert torch.allclose(torch.autograd.grad(third, made.weight_hh_l0)[0], expected[0])


def test_a_gradient_that_is_taken_twice_is_refused():
    made = cells("gru")
    loss = recurrent.run(made, torch.randn(10, 3, 2).double())[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="fused=False"):
        loss.backward()


def test_cells_of_another_form_are_refused_and_run_plainly_on_request():
    made, sequence = nn.GRU(2, 3, bidirectional=True), torch.randn(10, 1, 2)
    with pytest.raises(ValueError, match="fused=False"):
        recurrent.run(made, sequence)
    assert recurrent.run(made, sequence, fused=False)[0].shape == (10, 1, 6)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_torchs_gru_follows_its_equations_and_not_those_with_the_reset_gate_before_the_product():
    made = cells("gru", 3, 4)
    w, u, b, c = (p.detach().numpy() for p in made.parameters())
    sequence = np.random.default_rng(0).normal(size=(20, 3))
    for reset_first in (False, True):
        h, outputs = np.zeros(4), []
        for x in sequence:
            r, z = (
                sigmoid(w[k : k + 4] @ x + b[k : k + 4] + u[k : k + 4] @ h + c[k : k + 4]) for k in (0, 4)
            )
            n = np.tanh(
                w[8:] @ x + b[8:] + (u[8:] @ (r * h) + c[8:] if reset_first else r * (u[8:] @ h + c[8:]))
            )
            h = (1 - z) * n + z * h
            outputs.append(h)
        difference = np.abs(
            np.array(outputs)
            - recurrent.run(made, torch.from_numpy(sequence)[:, None])[0][:, 0].detach().numpy()
        ).max()
        assert (difference > 0.01) if reset_first else (difference < 1e-12)


def test_torchs_lstm_follows_its_equations():
    made = cells("lstm", 3, 4)
    w, u, b, b_h = (p.detach().numpy() for p in made.parameters())
    sequence = np.random.default_rng(0).normal(size=(20, 3))
    h = c = np.zeros(4)
    for number, x in enumerate(sequence):
        i, f, g, o = np.split(w @ x + b + u @ h + b_h, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        output, (_, cell) = recurrent.run(made, torch.from_numpy(sequence[: number + 1])[:, None])
        assert np.abs(output[-1, 0].detach().numpy() - h).max() < 1e-12
        assert np.abs(cell[0, 0].detach().numpy() - c).max() < 1e-12


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_initialisations_set_the_gates_they_name(kind):
    torch.manual_seed(0)
    config = dict(cell=kind, hidden_size=50, num_layers=2)
    made = build_cells(RecurrentConfig(initialisation="tensorflow", **config))
    for layer in range(2):
        gates = getattr(made, f"bias_ih_l{layer}").view(-1, 50)
        assert getattr(made, f"bias_hh_l{layer}").abs().max() == 0
        assert gates.mean(1).tolist() == ([0, 1, 0, 0] if kind == "lstm" else [1, 1, 0])
    made = build_cells(RecurrentConfig(initialisation="chrono", memory=200, **config))
    keep = (made.bias_ih_l1 + made.bias_hh_l1).detach()[
        50:100
    ]  # the LSTM's forget gate, the GRU's update gate
    memories = keep.exp()  # tau with log(tau) its bias, uniform
    assert memories.min() >= 1
    assert memories.max() <= 199
    assert memories.mean() == pytest.approx(100, abs=25)
    if kind == "lstm":
        assert torch.allclose(made.bias_ih_l1[:50] + made.bias_hh_l1[:50], -keep)
