"""The loop in which a thread runs many contexts, and waits in between, as IR text.

For:       `advance_all`, which a thread calls once to take its part in a job and, if it helps, in those that follow;
           `call`, `wake` and `dismiss`, by which it is told.
Not for:   what a context's turn is, and who made the threads (api/seats.py, api/crew.py).
Invariant: a context is in one thread's hands at a time. What a worker's `signal` is changes in one step from one thing
           to another, whoever does it; a lock is let go once for each time that a thread goes to sleep on it.

A helper waits in here, without the GIL: first it looks whether it is called, for as long as it takes to wake a thread,
then it sleeps on a lock of CPython's, from which it comes straight back to machine code. So does the one that called.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

from .glue import load_slots, slots_table


class BatchPlaces(NamedTuple):
    """Where `advance_all_glue` finds things: offsets of fields of whoever describes a batch."""

    thread: int
    """Of the thread state, in a context."""
    job: int
    """This one and the next seven: in a worker."""
    next: int
    """Where the worker is in its part of `order`, and where this ends. Others may take from it too."""
    end: int
    following: int
    """The next worker, in a ring."""
    helps: int
    """1: this thread waits for the next job when it is done."""
    signal: int
    """AWAY, LISTENING, CALLED, ASLEEP or DISMISSED."""
    lock: int
    """What the thread sleeps on; held, but for the moment in which it is woken."""
    busy: int
    """This one and the next five: in a job. Workers that are not done."""
    caller: int
    """The worker that does not help."""
    waiting: int
    """1: who is done goes back to Python."""
    stop: int
    order: int
    """The seats' numbers, u32."""
    seats: int
    context: int
    """In a seat."""
    seat_size: int


class _Hint(NamedTuple):
    """An instruction that says that the processor waits in a loop."""

    declare: str
    call: str


_PAUSE = (
    _Hint("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)")
    if platform.machine().lower() in ("aarch64", "arm64")
    else _Hint("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()")
)
"""PAUSE, or YIELD."""

AWAY, LISTENING, CALLED, ASLEEP, DISMISSED = range(5)
"""Where a helping thread is: in a job or in Python; waiting for the next job, and looking; given it; waiting, asleep;
to go back to Python."""

PATIENCE = 1000
"""How often a thread looks before it stops waiting: some 50 microseconds, about as long as waking one takes."""

DOZE = 100_000
"""Microseconds that the one that does not help sleeps, waiting for the others, before it asks Python whether anything
happened; a signal wakes it before."""

WAKING = 4
"""How many times as often it looks when it was woken because a job is about to come."""


def signal_glue(places: BatchPlaces, name: str, signal: int) -> str:
    """`name(worker)`, the code of a METH_FASTCALL builtin: 1 if the worker's thread waited, and hears the signal now.

    LISTENING: only one that sleeps hears it, and wakes.
    """
    if signal == LISTENING:
        listens = "br label %asleep"
    else:
        listens = f"""
  %swap = cmpxchg ptr %signal.at, i64 {LISTENING}, i64 {signal} acq_rel acquire
  %heard = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %heard, label %told, label %asleep"""
    return f"""
define ptr @{name}(ptr %self, ptr %arguments, i64 %argument.count) nounwind {{
{load_slots()}
  %object = load ptr, ptr %arguments
  %address = call i64 %PyLong_AsLongLong(ptr %object)
  %worker = inttoptr i64 %address to ptr
  %signal.at = getelementptr inbounds i8, ptr %worker, i64 {places.signal}
  {listens}
asleep:
  %wake = cmpxchg ptr %signal.at, i64 {ASLEEP}, i64 {signal} acq_rel acquire
  %slept = extractvalue {{ i64, i1 }} %wake, 1
  br i1 %slept, label %release, label %nobody
release:
  %lock.at = getelementptr inbounds i8, ptr %worker, i64 {places.lock}
  %lock = load ptr, ptr %lock.at
  call void %PyThread_release_lock(ptr %lock)
  br label %told
told:
  %result.told = call ptr %PyLong_FromLongLong(i64 1)
  ret ptr %result.told
nobody:
  %result.nobody = call ptr %PyLong_FromLongLong(i64 0)
  ret ptr %result.nobody
}}
"""


def advance_all_glue(places: BatchPlaces) -> str:
    """`advance_all(worker, handler)`, the code of a METH_FASTCALL builtin: one thread's part of running many contexts.

    While the program's `ready(worker)` says so it takes the next seat of the worker's part, or when that is empty of
    another's, as one step that no other thread comes between, and enters its context as often as `turn(context,
    worker, seat)` asks for. Without the GIL, which the contexts' callables get as they do in `advance`.

    When nothing is left, one that helps waits for the next job, and takes part in it, until it is dismissed. One that
    does not help takes back the calls that nobody has heard yet, for there is nothing left to do, and waits for the
    others. Where it takes long, or a signal comes, it leaves the rest of the waiting to Python: `waiting` is 1.
    Returns: 1 if nothing was left, 0 if `ready` said no.
    """
    return f"""
{_PAUSE.declare}
{slots_table()}
define ptr @advance_all(ptr %self, ptr %arguments, i64 %argument.count) nounwind {{
{load_slots()}
  %object.0 = load ptr, ptr %arguments
  %worker.address = call i64 %PyLong_AsLongLong(ptr %object.0)
  %at.1 = getelementptr inbounds ptr, ptr %arguments, i64 1
  %object.1 = load ptr, ptr %at.1
  %code = call i64 %PyLong_AsLongLong(ptr %object.1)
  %worker = inttoptr i64 %worker.address to ptr
  %handler = inttoptr i64 %code to ptr
  %job.at = getelementptr inbounds i8, ptr %worker, i64 {places.job}
  %job = load ptr, ptr %job.at
  %busy.at = getelementptr inbounds i8, ptr %job, i64 {places.busy}
  %waiting.at = getelementptr inbounds i8, ptr %job, i64 {places.waiting}
  %stop.at = getelementptr inbounds i8, ptr %job, i64 {places.stop}
  %order.at = getelementptr inbounds i8, ptr %job, i64 {places.order}
  %seats.at = getelementptr inbounds i8, ptr %job, i64 {places.seats}
  %signal.at = getelementptr inbounds i8, ptr %worker, i64 {places.signal}
  %lock.at = getelementptr inbounds i8, ptr %worker, i64 {places.lock}
  %caller.at = getelementptr inbounds i8, ptr %job, i64 {places.caller}
  %helps.at = getelementptr inbounds i8, ptr %worker, i64 {places.helps}
  %helps.byte = load i8, ptr %helps.at
  %helps = icmp ne i8 %helps.byte, 0
  %state = call ptr %PyEval_SaveThread()
  br label %start
start:
  %order = load ptr, ptr %order.at
  %seats = load ptr, ptr %seats.at
  br label %more
more:
  %ready = call i64 @ready(ptr %worker)
  %ends = icmp eq i64 %ready, 0
  br i1 %ends, label %out, label %take
take:
  %owner = phi ptr [ %worker, %more ], [ %other, %pass ]
  %next.at = getelementptr inbounds i8, ptr %owner, i64 {places.next}
  %end.at = getelementptr inbounds i8, ptr %owner, i64 {places.end}
  %place = atomicrmw add ptr %next.at, i64 1 monotonic
  %end = load i64, ptr %end.at
  %left = icmp ult i64 %place, %end
  br i1 %left, label %sit, label %pass
pass:
  %following.at = getelementptr inbounds i8, ptr %owner, i64 {places.following}
  %other = load ptr, ptr %following.at
  %round = icmp eq ptr %other, %worker
  br i1 %round, label %done, label %take
sit:
  %index.at = getelementptr inbounds i32, ptr %order, i64 %place
  %index = load i32, ptr %index.at
  %index.wide = zext i32 %index to i64
  %offset = mul i64 %index.wide, {places.seat_size}
  %seat = getelementptr inbounds i8, ptr %seats, i64 %offset
  %context.at = getelementptr inbounds i8, ptr %seat, i64 {places.context}
  %context = load ptr, ptr %context.at
  %thread.at = getelementptr inbounds i8, ptr %context, i64 {places.thread}
  store ptr %state, ptr %thread.at
  br label %ask
ask:
  %runs = call i64 @turn(ptr %context, ptr %worker, ptr %seat)
  %stands = icmp eq i64 %runs, 0
  br i1 %stands, label %stand, label %run
run:
  call void @enter(ptr %context, ptr %handler)
  br label %ask
stand:
  store ptr null, ptr %thread.at
  br label %more
done:
  br i1 %helps, label %helper_done, label %caller_done
helper_done:
  ; in this order: who sees that nobody is busy may call
  store atomic i64 {LISTENING}, ptr %signal.at release, align 8
  %helper.before = atomicrmw sub ptr %busy.at, i64 1 seq_cst
  %last = icmp eq i64 %helper.before, 1
  br i1 %last, label %tell, label %listen
tell:
  %caller = load ptr, ptr %caller.at
  %caller.signal.at = getelementptr inbounds i8, ptr %caller, i64 {places.signal}
  %wake = cmpxchg ptr %caller.signal.at, i64 {ASLEEP}, i64 {AWAY} seq_cst acquire
  %dozed = extractvalue {{ i64, i1 }} %wake, 1
  br i1 %dozed, label %wake_caller, label %listen
wake_caller:
  %caller.lock.at = getelementptr inbounds i8, ptr %caller, i64 {places.lock}
  %caller.lock = load ptr, ptr %caller.lock.at
  call void %PyThread_release_lock(ptr %caller.lock)
  br label %listen
listen:
  %looks = phi i64 [ 0, %helper_done ], [ 0, %tell ], [ 0, %wake_caller ], [ %looks.more, %still ],
                    [ -{(WAKING - 1) * PATIENCE}, %sleep ]
  %signal = load atomic i64, ptr %signal.at acquire, align 8
  switch i64 %signal, label %consider [ i64 {CALLED}, label %answer  i64 {DISMISSED}, label %dismissed ]
answer:
  %call = cmpxchg ptr %signal.at, i64 {CALLED}, i64 {AWAY} acq_rel acquire
  %answered = extractvalue {{ i64, i1 }} %call, 1
  br i1 %answered, label %start, label %still
dismissed:
  store atomic i64 {AWAY}, ptr %signal.at release, align 8
  br label %out
consider:
  %waiting = load atomic i8, ptr %waiting.at monotonic, align 1
  %stop = load atomic i8, ptr %stop.at monotonic, align 1
  %either = or i8 %waiting, %stop
  %calm = icmp eq i8 %either, 0
  br i1 %calm, label %stay, label %rise
stay:
  %patient = icmp slt i64 %looks, {PATIENCE}
  br i1 %patient, label %still, label %tire
still:
  {_PAUSE.call}
  %looks.more = add i64 %looks, 1
  br label %listen
tire:
  %lie = cmpxchg ptr %signal.at, i64 {LISTENING}, i64 {ASLEEP} acq_rel acquire
  %lies = extractvalue {{ i64, i1 }} %lie, 1
  br i1 %lies, label %sleep, label %still
sleep:
  %lock = load ptr, ptr %lock.at
  %woken = call i32 %PyThread_acquire_lock_timed(ptr %lock, i64 -1, i32 0)
  br label %listen
rise:
  %swap = cmpxchg ptr %signal.at, i64 {LISTENING}, i64 {AWAY} acq_rel acquire
  %risen = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %risen, label %out, label %still
caller_done:
  %caller.before = atomicrmw sub ptr %busy.at, i64 1 acq_rel
  br label %revoke
revoke:
  %before = phi ptr [ %worker, %caller_done ], [ %helper, %revoke_one ]
  %helper.at = getelementptr inbounds i8, ptr %before, i64 {places.following}
  %helper = load ptr, ptr %helper.at
  %asked = icmp eq ptr %helper, %worker
  br i1 %asked, label %watch, label %revoke_one
revoke_one:
  %helper.signal.at = getelementptr inbounds i8, ptr %helper, i64 {places.signal}
  %unheard = cmpxchg ptr %helper.signal.at, i64 {CALLED}, i64 {LISTENING} acq_rel acquire
  %taken.back = extractvalue {{ i64, i1 }} %unheard, 1
  %less = zext i1 %taken.back to i64
  %less.before = atomicrmw sub ptr %busy.at, i64 %less acq_rel
  br label %revoke
watch:
  %watched = phi i64 [ 0, %revoke ], [ 0, %doze ], [ 0, %doze_on ], [ %watched.more, %watch_on ]
  %busy = load atomic i64, ptr %busy.at acquire, align 8
  %alone = icmp eq i64 %busy, 0
  br i1 %alone, label %out, label %watch_more
watch_more:
  %watching = icmp ult i64 %watched, {PATIENCE}
  br i1 %watching, label %watch_on, label %lie_down
watch_on:
  {_PAUSE.call}
  %watched.more = add i64 %watched, 1
  br label %watch
lie_down:
  ; in this order, and the last helper's the other way round: one of the two sees the other
  %lay.down = atomicrmw xchg ptr %signal.at, i64 {ASLEEP} seq_cst
  %busy.last = load atomic i64, ptr %busy.at seq_cst, align 8
  %all = icmp eq i64 %busy.last, 0
  br i1 %all, label %get_up, label %doze
doze:
  %caller.own.lock = load ptr, ptr %lock.at
  %status = call i32 %PyThread_acquire_lock_timed(ptr %caller.own.lock, i64 {DOZE}, i32 1)
  %told = icmp eq i32 %status, 1
  br i1 %told, label %watch, label %get_up
get_up:
  %rose = cmpxchg ptr %signal.at, i64 {ASLEEP}, i64 {AWAY} seq_cst acquire
  %rose.alone = extractvalue {{ i64, i1 }} %rose, 1
  br i1 %rose.alone, label %look_around, label %doze_on
doze_on:
  ; somebody lets the lock go just now
  %caller.same.lock = load ptr, ptr %lock.at
  %status.late = call i32 %PyThread_acquire_lock_timed(ptr %caller.same.lock, i64 -1, i32 0)
  br label %watch
look_around:
  %busy.now = load atomic i64, ptr %busy.at seq_cst, align 8
  %all.now = icmp eq i64 %busy.now, 0
  br i1 %all.now, label %out, label %hurry
hurry:
  store atomic i8 1, ptr %waiting.at release, align 1
  br label %out
out:
  %outcome = phi i64 [ 0, %more ], [ 1, %rise ], [ 1, %dismissed ], [ 1, %watch ], [ 1, %look_around ], [ 1, %hurry ]
  call void %PyEval_RestoreThread(ptr %state)
  %result = call ptr %PyLong_FromLongLong(i64 %outcome)
  ret ptr %result
}}
"""
