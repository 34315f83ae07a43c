"""Having the answers of a file completed; what has not ended then is asked about again at the next look."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.answers import Answer, Answers, Completion
from adapter_sdk.transport.base import Message
from adaptors.files.answers.reading import GoodRecord

_AT_ONCE = 100  # answers that are completed in one commit


class Completing:
    """Knows of files that have to wait which of their answers have ended. What it forgets is only asked for again."""

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, Completion]] = {}

    def complete(
        self, name: str, data: bytes, spec: AnswerSpec, records: Sequence[GoodRecord], answers: Answers
    ) -> Counter[Completion]:
        """What became of each answer. An answer is known by the name and all bytes of its file, and by its number."""
        digest = hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
        ended = self._ended.pop(digest, {})
        waiting = [
            Answer(
                id=id_,
                spec=spec,
                record=one.record,
                message=Message(one.data, content_type="application/octet-stream"),
                origin=f"{name} record {one.number}",
            )
            for one in records
            if (id_ := f"{digest}:{one.number}") not in ended
        ]
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            ended |= {answer.id: found for answer, found in zip(some, answers.complete(some), strict=True)}
        completions = Counter(ended.values())
        if completions[Completion.EARLY]:
            self._ended[digest] = {id_: found for id_, found in ended.items() if found is not Completion.EARLY}
        return completions
