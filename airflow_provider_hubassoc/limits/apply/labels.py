"""Create the labels of a plan before their limits are set."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_hubassoc.hubspot.constants import AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotValidationError
from airflow_provider_hubassoc.hubspot.models import AssociationLabel
from airflow_provider_hubassoc.limits.apply.report import Outcome, Status
from airflow_provider_hubassoc.limits.apply.session import INTERRUPTED, ApplySession
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import NewLabel, Plan
from airflow_provider_hubassoc.limits.plan.names import look_alike_message, look_alikes
from airflow_provider_hubassoc.limits.plan.new_labels import inverse_exists_message, usual_names
from airflow_provider_hubassoc.limits.problems import show

LabelSide = tuple[Direction, str]
"""One side of a label: its canonical direction, and its text there."""


def label_side(direction: Direction, text: str | None) -> LabelSide:
    """Return one side of a label, however the object types of the direction are spelled."""
    return direction.canonical, text or ""


def create_labels(
    plan: Plan, session: ApplySession, *, resend: bool
) -> tuple[list[Outcome], dict[LabelSide, TypeIdentity]]:
    """Create the labels of a plan: those of different pairs of object types at the same time.

    :param resend: True if an earlier attempt may have created them, which reads need not show yet.
    :return: the outcomes, and the association types of the two sides of each label, as far as they are known.
    """
    by_pair: dict[frozenset[str], list[NewLabel]] = {}
    for label in plan.new_labels:
        by_pair.setdefault(frozenset(label.direction.canonical), []).append(label)
    needed = {label_side(change.direction, change.label) for change in plan.writes if change.type_id is None}

    def create(pair: frozenset[str]) -> _LabelCreation:
        creation = _LabelCreation(session, needed, resend=resend)
        creation.run(by_pair[pair])
        return creation

    outcomes: list[Outcome] = []
    types: dict[LabelSide, TypeIdentity] = {}
    for creation in session.for_each("create labels", list(by_pair), create).values():
        outcomes += creation.outcomes
        types |= creation.types
    return outcomes, types


class _LabelCreation:
    """Creates the labels of one pair of object types, one after the other."""

    def __init__(self, session: ApplySession, needed: set[LabelSide], *, resend: bool) -> None:
        self.outcomes: list[Outcome] = []
        self.types: dict[LabelSide, TypeIdentity] = {}
        self._session = session
        self._needed = needed
        self._resend = resend
        self._rows: dict[Direction, list[AssociationLabel]] = {}

    def run(self, labels: Sequence[NewLabel]) -> None:
        try:
            for label in labels:
                self.outcomes.append(self._create(label))
            outcomes = zip(labels, self.outcomes, strict=True)
            self._read_types([label for label, outcome in outcomes if outcome.status == "applied"])
        except BaseException:
            interrupted = labels[len(self.outcomes) : len(self.outcomes) + 1]
            unconfirmed = [Outcome(label, "unconfirmed", INTERRUPTED, retryable=True) for label in interrupted]
            self._session.publish([*self.outcomes, *unconfirmed])
            raise
        self._session.publish(self.outcomes)

    def _create(self, label: NewLabel) -> Outcome:
        """Create a label unless the portal has it, or one that looks like it."""
        if stopped := self._session.stopped:
            return Outcome(label, "not attempted", stopped)
        try:
            outcome = self._existing(label)
        except HubSpotError as error:
            return Outcome.from_error(label, "not attempted", error, f"the labels could not be read: {error}")
        if outcome is not None:
            return outcome
        try:
            created = self._session.call(
                lambda client: client.create_label(
                    *label.direction, label=label.label, name=label.name, inverse_label=label.inverse
                )
            )
        except HubSpotError as error:
            if error.outcome_unknown or isinstance(error, HubSpotValidationError):
                return self._judge_failure(label, error)
            return Outcome.from_error(label, "refused", error)
        self._note_types(label, created)
        return Outcome(label, "applied")

    def _existing(self, label: NewLabel) -> Outcome | None:
        """Return the outcome of a label that the portal has, or that must not be created; None if it can be.

        Somebody may create the label between the reads of its two sides. So both are read again before it is refused.

        :raises HubSpotError: if the labels cannot be read.
        """
        for is_last in (False, True):
            for direction, _ in label.sides:
                if direction not in self._rows:
                    self._rows[direction] = self._read(direction)
            outcome = self._compare(label)
            if is_last or outcome is None or outcome.status == "applied":
                break
            self._rows.clear()
        return outcome

    def _compare(self, label: NewLabel) -> Outcome | None:
        """Compare a label with the rows that were read. Return as :meth:`_existing`."""
        found = {side: {row.identity for row in self._rows[side[0]] if row.label == side[1]} for side in label.sides}
        if all(len(identities) == 1 for identities in found.values()):
            self.types |= {label_side(*side): next(iter(identities)) for side, identities in found.items()}
            return Outcome(label, "applied", "the portal already has it")
        side, inverse_side = label.sides
        if found[side]:
            reason = f"the portal now has a label {show(label.label)} with another text on its other side"
            return Outcome(label, "refused", reason, retryable=True)
        for direction, text in label.sides:
            if near := look_alikes(text, self._rows[direction]):
                return Outcome(label, "refused", f"in {direction}, {look_alike_message(text, near)}", retryable=False)
        if any(category == AssociationCategory.USER_DEFINED.value for category, _ in found[inverse_side]):
            return Outcome(label, "refused", inverse_exists_message(*inverse_side, label.label), retryable=False)
        return None

    def _judge_failure(self, label: NewLabel, error: HubSpotError) -> Outcome:
        """Read whether the portal has a label whose creation HubSpot refused or never answered."""
        status: Status = "unconfirmed" if error.outcome_unknown else "refused"
        self._rows.clear()
        try:
            outcome = self._existing(label)
        except HubSpotError as read_error:
            reason = f"{error}; the labels could not be read again: {read_error}"
            return Outcome.from_error(label, status, read_error, reason)
        if outcome is not None:
            return outcome
        if error.outcome_unknown:
            reason = f"HubSpot did not confirm it, and the portal does not show it ({error})"
            return Outcome(label, status, reason, retryable=True)
        if "already exists" not in error.message:
            return Outcome.from_error(label, status, error)
        return self._judge_taken_name(label, error)

    def _judge_taken_name(self, label: NewLabel, error: HubSpotError) -> Outcome:
        """Find out which label has the internal name, where HubSpot refused a label because of it."""
        present = {row.label for row in self._rows[label.direction]}
        if candidates := [text for text in label.candidates if text in present]:
            return Outcome.from_error(label, "refused", error, f"{_name_taken(label, candidates)} ({error})")
        if self._resend:
            reason = f"an earlier try may have created it, but the portal does not show it yet ({error})"
            return Outcome(label, "unconfirmed", reason, retryable=True)
        if label.name in usual_names(label):  # no label of another pair has this name: it was created just now
            reason = f"another sync has created it since the plan was made ({error})"
            return Outcome(label, "refused", reason, retryable=True)
        reason = f"another label has the internal name {label.name}; give this label another `name` in the file"
        return Outcome.from_error(label, "refused", error, f"{reason} ({error})")

    def _read(self, direction: Direction) -> list[AssociationLabel]:
        return self._session.call(lambda client: client.get_labels(*direction))

    def _note_types(self, label: NewLabel, rows: Sequence[AssociationLabel]) -> None:
        """Take the types of a new label from HubSpot's answer, where its text alone says which side a row is."""
        for side in label.sides:
            types = {row.identity for row in rows if row.label == side[1]}
            if len(types) == 1 and (label.inverse is not None or len(set(label.direction.canonical)) == 1):
                self.types[label_side(*side)] = types.pop()

    def _read_types(self, labels: Sequence[NewLabel]) -> None:
        """Read the labels of a direction where an answer left open which type the plan needs.

        A label with the same text on both sides is two types in one answer, in no reliable order (HubSpot's guide).
        """
        unknown = [
            side for label in labels for side in label.sides if label_side(*side) in self._needed - self.types.keys()
        ]
        for direction in sorted({direction for direction, _ in unknown}):
            try:
                rows = self._read(direction)
            except HubSpotError:
                continue  # the limits of these labels are then not attempted
            texts = {text for side, text in unknown if side == direction}
            self.types |= {label_side(direction, row.label): row.identity for row in rows if row.label in texts}


def _name_taken(label: NewLabel, candidates: Sequence[str]) -> str:
    texts = " or ".join(map(show, candidates))
    return (
        f"the portal already has a label with the internal name {label.name}, probably renamed to {texts}:"
        f" adopt it (write {texts} in the file), rename it back in HubSpot, or give this label another `name`"
    )
