# SPDX-License-Identifier: Apache-2.0
"""How a flow ends in Prefect: Completed, Completed with quarantine, or Failed.

A flow that returns a state shows it in Prefect; who called it still gets the outcome in it, as
from any flow: a state stands for what it holds, and that is what the types here say. So the
commands see no difference.
"""

from __future__ import annotations

from typing import cast

from prefect.states import Completed, Failed

from pipeline.runs import FailureBudget, Outcome
from pipeline.verifying.verify import Verdict

__all__ = ["QUARANTINE", "ended", "verified"]

QUARANTINE = "Completed with quarantine"
"""Name of the state of a run that went well but for some brackets."""


def ended(outcome: Outcome, budget: FailureBudget | None = None) -> Outcome:
    """What a flow returns for an outcome: the outcome, or a state that holds it.

    Args:
        outcome: what became of a run.
        budget: where it is given, a run past it is Failed, which raises for who called the flow.
    """
    counts = outcome.counts
    failed = f"{counts.quarantined:,} of {counts.found:,} in quarantine"
    if counts.codes:
        failed += f" ({', '.join(f'{code}: {n:,}' for code, n in counts.codes.most_common(5))})"
    failed += f"; `bracketflow quarantine list {outcome.destination}` shows which"
    if budget is not None and budget.exceeded(counts):
        allowed = f"This is more than the failure budget of {budget.share:.0%} allows."
        return cast(Outcome, Failed(message=f"{failed}. {allowed}"))
    if counts.quarantined:
        return cast(Outcome, Completed(name=QUARANTINE, message=f"{failed}.", data=outcome))
    return outcome


def verified(verdict: Verdict) -> Verdict:
    """What a flow returns for a verdict: the verdict, or Failed where something needs somebody."""
    if verdict.clean:
        return verdict
    codes = ", ".join(f"{code}: {n:,}" for code, n in sorted(verdict.counts.items()))
    message = (
        f"{verdict.open:,} findings in {verdict.destination} need somebody ({codes}); "
        f"`bracketflow verify {verdict.destination} --repair` mends what is ours."
    )
    return cast(Verdict, Failed(message=message))
