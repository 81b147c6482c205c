"""Online prediction: versions kept warm in job processes.

::

    web ── connection (JSON) ──▶ `server`: a thread per question
                                   │ `warm`: one job process per version, the least recently asked goes first
                                   ▼
    fork server ── fork ──▶ `process`: loads the package once, answers one question after the other

A model runs in a process of its own here too: what it does, or what its file makes a library do, harms
nothing but its own answers. A process that crashes or hangs is killed, and the next question starts another.
The fork servers are started by the first question that needs them, so that nobody who asks none pays for it.
"""
