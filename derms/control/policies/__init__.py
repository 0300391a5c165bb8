"""Policies: one file each; `PLUGS` names them all. Pure."""

from collections.abc import Mapping

import numpy as np

from derms.columns import Floats
from derms.control.layout import Layout
from derms.control.wants import Plug, Round, Wants, Wish
from derms.model import Policy


def _weight(wants: Wants) -> Floats:
    need = wants.gap + np.minimum(
        wants.left_kwh / (wants.time_left_s / 3600.0) / np.where(wants.cap_kw > 0, wants.cap_kw, 1.0), 1.0
    )
    return wants.priority * np.maximum(need, 0.05)


def deficit(wants: Wants) -> Wish:
    weight = _weight(wants)
    owed = np.minimum(np.maximum(wants.bucket_kwh, 0.0) * 3600.0 / wants.params.pay_s, wants.cap_kw)
    turn = (
        wants.bucket_kwh
        + np.where(wants.running_s > 0.0, wants.minimum_kw * wants.params.turn_s / 3600.0, 0.0)
        + 1e-6 * weight
    )
    return Wish(
        rounds=(
            Round(ceiling_kw=np.where(wants.below_reserve, wants.cap_kw, 0.0), weight=weight),
            Round(
                ceiling_kw=np.minimum(
                    np.where(wants.is_ev, wants.left_kwh / (wants.time_left_s / 3600.0), 0.0), wants.cap_kw
                ),
                weight=weight,
            ),
            Round(ceiling_kw=owed, rank=wants.bucket_kwh),
            Round(ceiling_kw=wants.cap_kw, weight=weight),
        ),
        turn=turn,
    )


def settle(wants: Wants, given_kw: Floats, layout: Layout) -> Floats:
    fair = layout.serve(wants.room_kw, [Round(ceiling_kw=wants.cap_kw, weight=_weight(wants))])
    bound = wants.params.bucket_bound_h * np.maximum(wants.cap_kw, 0.1)
    moved = np.clip(wants.bucket_kwh + (fair - given_kw) * wants.dt_s / 3600.0, -bound, bound)
    return np.where(wants.cap_kw > 0.0, moved, wants.bucket_kwh * np.exp(-wants.dt_s / wants.params.bucket_fade_s))


PLUGS: Mapping[Policy, Plug] = dict.fromkeys(Policy, deficit)
