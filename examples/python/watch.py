"""Owns an example: each state of a task once, to its end, with httpx.   python watch.py URL [TOKEN]"""
import asyncio
import sys
import time

import httpx


async def watch(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    tag, missing = '"none yet"', []
    async with httpx.AsyncClient(headers=headers, timeout=40) as client:
        while True:
            pause = 2.0
            try:  # A long-poll: it is answered as soon as the state differs from the tag, or with 304 after 25 s.
                answer = await client.get(url, params={"wait": 25}, headers={"If-None-Match": tag})
            except httpx.TransportError:  # The gateway restarts.
                await asyncio.sleep(pause)
                continue
            missing = [*missing, time.monotonic()] if answer.status_code in (404, 410) else []
            if answer.is_success:
                tag = answer.headers["ETag"]
                yield answer.json()
                if "no-store" not in answer.headers["Cache-Control"]:  # Only the last state may be stored.
                    return
            elif answer.status_code != 304:  # Right after its create a task may be missing for a while.
                is_refused = answer.status_code in (400, 401, 403, 405)
                if is_refused or len(missing) > 2 and missing[-1] - missing[0] > 15:
                    answer.raise_for_status()
                await asyncio.sleep(float(answer.headers.get("Retry-After", pause)))


async def main(url, *token):
    async for task in watch(url, *token):
        print(task, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
