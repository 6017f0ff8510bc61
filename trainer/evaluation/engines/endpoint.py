"""A server with OpenAI's API: vLLM's, SGLang's, llama.cpp's, or one on the network."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainer.evaluation.asking import Ask, Sampling, Written
from trainer.evaluation.errors import EvaluationError
from trainer.models.tokenizers import first_line

if TYPE_CHECKING:
    import httpx

KEY = "OPENAI_API_KEY"
"""The environment variable with the server's key, if it wants one."""
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 30.0


class Endpoint:
    """An :class:`~trainer.evaluation.asking.Engine`. Answers are kept as they come.

    Args:
        url: Of the API, such as ``http://127.0.0.1:8000/v1``.
        model: The name that the server has for the model.
        sampling: Sent with each request.
        chat: Ask ``/chat/completions``, where the server puts its chat template around the prompt;
            else ``/completions``, with the bare text.
        at_once: Requests in flight.
        patience: Times that a request is sent before the evaluation gives up.
        timeout_s: For one request.
    """

    def __init__(
        self,
        url: str,
        model: str,
        sampling: Sampling,
        *,
        chat: bool,
        at_once: int = 16,
        patience: int = 6,
        timeout_s: float = 1800.0,
    ) -> None:
        self.together = 4 * at_once
        self._url = url.rstrip("/")
        self._model = model
        self._sampling = sampling
        self._chat = chat
        self._at_once = at_once
        self._patience = patience
        self._timeout_s = timeout_s

    def generate(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Written]]]:
        """Samples of the prompts, each with a request of its own."""
        found: queue.SimpleQueue[tuple[int, list[Written]] | BaseException | None]
        found = queue.SimpleQueue()

        async def collect() -> None:
            async for answer in self._answers(asks):
                found.put(answer)

        def work() -> None:
            try:
                asyncio.run(collect())
                found.put(None)
            except BaseException as error:  # raised where the answers are taken
                found.put(error)

        thread = threading.Thread(target=work, name="endpoint", daemon=True)
        thread.start()
        while (answer := found.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            yield answer
        thread.join()

    async def _answers(self, asks: Sequence[Ask]) -> AsyncIterator[tuple[int, list[Written]]]:
        import httpx

        places = asyncio.Semaphore(self._at_once)
        token = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(headers=headers, timeout=self._timeout_s) as client:

            async def one(place: int, ask: Ask) -> tuple[int, list[Written]]:
                async def sample(seed: int) -> Written:
                    async with places:
                        return await self._sample(client, ask.text, seed)

                return place, list(await asyncio.gather(*map(sample, ask.seeds)))

            tasks = [asyncio.create_task(one(place, ask)) for place, ask in enumerate(asks)]
            try:
                for task in asyncio.as_completed(tasks):
                    yield await task
            finally:
                for pending in tasks:
                    pending.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _sample(self, client: httpx.AsyncClient, text: str, seed: int) -> Written:
        import httpx

        body = self._body(text, seed)
        url = f"{self._url}/{'chat/completions' if self._chat else 'completions'}"
        reason = ""
        for attempt in range(self._patience):
            if attempt:
                await asyncio.sleep(min(_LONGEST_PAUSE_S, 0.5 * 2**attempt))
            try:
                response = await client.post(url, json=body)
            except httpx.HTTPError as error:
                reason = first_line(error) or type(error).__name__
                continue
            if response.status_code in _BUSY:
                reason = f"it answers {response.status_code}"
                continue
            return self._read(response)
        raise self._gone(reason)

    def _body(self, text: str, seed: int) -> dict[str, Any]:
        sampling = self._sampling
        asked = (
            {"messages": [{"role": "user", "content": text}]} if self._chat else {"prompt": text}
        )
        return {
            "model": self._model,
            **asked,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
        }

    def _read(self, response: httpx.Response) -> Written:
        if response.status_code != 200:
            text = " ".join(response.text.split())[:200]
            raise self._gone(f"it answers {response.status_code}: {text}")
        try:
            body = response.json()
            choice = body["choices"][0]
            text = choice["message"]["content"] if self._chat else choice["text"]
            tokens = (body.get("usage") or {}).get("completion_tokens")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._gone(f"its answer cannot be read: {error!r}") from None
        return Written(str(text or ""), tokens, choice.get("finish_reason") == "length")

    def _gone(self, reason: str) -> EvaluationError:
        return EvaluationError(
            f"the endpoint {self._url} does not answer ({reason}); what it has answered is kept, "
            "and the same command goes on from there"
        )
