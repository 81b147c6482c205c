"""procrastinate for `faults.py`, with the documented retry of stalled jobs, every ten seconds.

From the environment: ``DATABASE``, a URL; ``LEDGER``, a file to which each job appends its number when it is
done; ``SECONDS``, how long a job takes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE"]))


@app.task(name="job")
async def job(number: int) -> None:
    await asyncio.sleep(float(os.environ["SECONDS"]))
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"{number}\n".encode())
    os.close(ledger)


@app.periodic(cron="* * * * * */10")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: Any, timestamp: int) -> None:
    for stalled in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(stalled)


async def main() -> None:
    async with app.open_async():
        if sys.argv[1:] == ["schema"]:
            await app.schema_manager.apply_schema_async()
        elif sys.argv[1:] == ["submit"]:
            for line in sys.stdin:
                await job.defer_async(number=int(line))
                print(line.strip(), flush=True)
        else:
            await app.run_worker_async(concurrency=2)


asyncio.run(main())
