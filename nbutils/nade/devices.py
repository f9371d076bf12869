"""Work happens where the model is: inputs go there, results come back to where the inputs were; and copies
that nobody waits for."""


def device_of(model, tensor):
    """The device of a model's first parameter, or that of a tensor for a callable that has none."""
    parameters = getattr(model, "parameters", tuple)()
    return next((parameter.device for parameter in parameters), tensor.device)


def moved(device, *tensors):
    """Tensors on a device, None for None."""
    return [None if tensor is None else on_device(tensor, device) for tensor in tensors]


def on_device(tensor, device):
    """A tensor, as a rule of the CPU, on `device`: a GPU takes it from pinned memory when its queue gets
    there."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type != "cpu")
