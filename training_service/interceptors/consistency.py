"""Takes the tokens by which a call sees earlier writes, and hands out those of its own."""

from training_service.consistency import (
    TOKEN_KEY,
    Consistency,
    current_consistency,
    from_token,
    set_consistency,
    to_token,
)
from training_service.interceptors.call import Call

TRANSCODED_KEY = "x-envoy-original-path"
"""Metadata of calls that Envoy made of REST: it passes on initial metadata, and no trailing."""


def establish_consistency(call: Call) -> None:
    """Records what the reads of a call have to see: all that its tokens name.

    Raises INVALID_FIELD for a token that is none.
    """
    # A gateway may have joined several by commas.
    given = (one.strip() for text in call.metadata(TOKEN_KEY) for one in text.split(","))
    positions = [from_token(one) for one in given]
    set_consistency(Consistency(positions, is_write=not call.method.is_read))


async def hand_out_token(call: Call) -> None:
    """Adds to the trailing metadata of a write that is over by which token a read sees it."""
    consistency = current_consistency()
    if consistency is None or not consistency.is_write or consistency.reached is None:
        return
    token = (TOKEN_KEY, to_token(consistency.reached))
    call.context.set_trailing_metadata((*call.trailing_metadata, token))
    if call.metadata(TRANSCODED_KEY):
        await call.context.send_initial_metadata((token,))
