"""Types and small values of tensors: inferred for one operator, propagated through a graph."""
