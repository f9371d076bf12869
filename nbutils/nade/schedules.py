"""How much of the hole a Gibbs step resamples."""


def annealed(step, num_steps, alpha_max=0.9, alpha_min=0.1, eta=0.7):
    """The truncated linear schedule of Yao, Ozair, Cho and Bengio (2014, section 3.2), as the post of
    2017-04-23 writes it.

    alpha_n = max(alpha_min, alpha_max - (n / N) (alpha_max - alpha_min) / eta): from alpha_max down, reaching
    alpha_min after a share eta of the steps and staying there.

    Args:
        step: n, counted from 0; num_steps: N.
    Returns:
        the probability alpha_n with which every hole variable is resampled at step n.
    Raises:
        ValueError: probabilities outside 0..1 or in the wrong order, or eta not positive.
    """
    if not 0 <= alpha_min <= alpha_max <= 1:
        raise ValueError(
            f"alpha_min and alpha_max: {alpha_min} and {alpha_max}; expected 0 <= alpha_min <= alpha_max <= 1"
        )
    if not eta > 0:
        raise ValueError(f"eta: {eta}; expected a positive number")
    return max(alpha_min, alpha_max - step / num_steps * (alpha_max - alpha_min) / eta)
