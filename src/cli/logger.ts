import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino'
import type { Role, Settings } from '../config/settings.ts'
import { messagesOf } from '../core/error-text.ts'

/** Creates a logger of JSON lines. After a gap it logs how many lines the output dropped. */
export function createLogger(
  settings: Pick<Settings, 'log_level'>,
  service: Role,
  output: LogOutput,
): Logger {
  const logger = pino(
    {
      level: settings.log_level,
      base: { service, pid: process.pid },
      timestamp: createTimestamp(),
      formatters: { level: (level) => ({ level }) },
      serializers: { err: serializeError },
    },
    output,
  )
  output.onGap((dropped) => logger.warn({ dropped }, 'log lines were dropped'))
  return logger
}

/** The message of pino lacks the reasons of an error for several addresses of one host. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  return { ...stdSerializers.err(error), message: messagesOf(error) }
}

/** Returns a time function of pino: the member `time` in ISO 8601, formatted once per millisecond. */
function createTimestamp(): () => string {
  let formattedMs = 0
  let member = ''
  return () => {
    const nowMs = Date.now()
    if (nowMs !== formattedMs) {
      formattedMs = nowMs
      member = `,"time":"${new Date(nowMs).toISOString()}"`
    }
    return member
  }
}

/** Characters that may wait for a slow or full output. Further lines are dropped. */
const maxWaitingCharacters = 1024 * 1024
/** Pause before a write, whose fixed cost is that of a refresh. */
const pauseMs = 50
/** A failed write is repeated after this time. The reader of a full pipe usually empties it sooner. */
const retryMs = 10
/** Largest write to a pipe that never mixes with writes of other processes (`PIPE_BUF` of Linux). */
const maxAtomicBytes = 4096
/** Longest wait of `flush`. */
const flushTimeoutMs = 1_000
/** A write that takes longer is blocked: on a busy machine, one that fails takes a part of this. */
const blockedMs = 500

export interface LogOutputOptions {
  /** Default: standard output. */
  readonly fd?: number
  /** Whether other processes write to the same pipe. Default: false. */
  readonly isShared?: boolean
}

/**
 * Writes log lines to a file descriptor and never blocks the process. Lines of one pause are
 * written together. Lines that a full disk or a stalled pipe does not accept are dropped and counted;
 * pino's own destination would repeat a synchronous flush until it succeeds.
 */
export class LogOutput implements DestinationStream {
  readonly #fd: number
  readonly #isShared: boolean
  #waiting = ''
  /** Lines that are taken for writing and not written yet. */
  #rest = Buffer.alloc(0)
  /** Length of the current write. */
  #writingBytes = 0
  #state: 'idle' | 'scheduled' | 'writing' | 'failed' = 'idle'
  #writingSinceMs = 0
  #isBlocked = false
  #dropped = 0
  #reportedDropped = 0
  #onGap: (dropped: number) => void = () => {}
  readonly #onIdle = new Set<() => void>()

  constructor({ fd = standardOutput(), isShared = false }: LogOutputOptions = {}) {
    this.#fd = fd
    this.#isShared = isShared
    process.once('exit', () => this.#writeLast())
  }

  /** Lines that were dropped since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Calls back when lines can be written again, with the number of lines dropped meanwhile. */
  onGap(callback: (dropped: number) => void): void {
    this.#onGap = callback
  }

  write(line: string): void {
    if (this.#waiting.length + line.length > maxWaitingCharacters) {
      this.#dropped += 1
      return
    }
    this.#waiting += line
    if (this.#state === 'idle') this.#schedule()
  }

  /** Calls back when all lines are written, or after a second. */
  flush(done: () => void): void {
    const finish = () => {
      clearTimeout(timer)
      this.#onIdle.delete(finish)
      done()
    }
    const giveUp = () => {
      if (!this.#onIdle.has(finish)) return
      const writingMs = performance.now() - this.#writingSinceMs
      this.#isBlocked = this.#state === 'writing' && writingMs > blockedMs
      finish()
    }
    // After the results that arrived while the process was stalled.
    const timer = setTimeout(() => setImmediate(giveUp), flushTimeoutMs)
    this.#onIdle.add(finish)
    if (this.#state === 'idle') finish()
  }

  #writeNext(): void {
    if (this.#rest.length === 0) this.#takeWaiting()
    if (this.#rest.length === 0) {
      this.#state = 'idle'
      for (const finish of this.#onIdle) finish()
      return
    }
    this.#state = 'writing'
    this.#writingSinceMs = performance.now()
    const next = this.#nextOf(this.#rest)
    this.#writingBytes = next.length
    write(this.#fd, next, (error, written) => {
      if (error !== null) return this.#retryLater(error)
      this.#rest = this.#rest.subarray(written)
      if (this.#rest.length > 0) return this.#writeNext()
      this.#reportGap()
      this.#schedule()
    })
  }

  /**
   * Returns the part of the lines that one write takes. A full pipe interrupts a larger write, and lines
   * of another process would follow in the middle of a line.
   */
  #nextOf(lines: Buffer): Buffer {
    if (!this.#isShared || lines.length <= maxAtomicBytes) return lines
    const end = lines.lastIndexOf('\n', maxAtomicBytes - 1)
    return lines.subarray(0, (end >= 0 ? end : lines.indexOf('\n')) + 1)
  }

  #schedule(): void {
    this.#state = 'scheduled'
    setTimeout(() => this.#writeNext(), pauseMs)
  }

  #takeWaiting(): void {
    this.#rest = Buffer.from(this.#waiting)
    this.#waiting = ''
  }

  #reportGap(): void {
    const dropped = this.#dropped - this.#reportedDropped
    if (dropped === 0) return
    this.#reportedDropped = this.#dropped
    // Makes room for the line about the gap.
    this.#takeWaiting()
    this.#onGap(dropped)
  }

  #retryLater({ code }: NodeJS.ErrnoException): void {
    // A closed pipe has no reader, so its lines are dropped.
    if (code === 'EPIPE') {
      this.#dropped += countLines(this.#rest.toString()) + countLines(this.#waiting)
      this.#rest = Buffer.alloc(0)
      this.#waiting = ''
    }
    this.#state = 'failed'
    setTimeout(() => this.#writeNext(), retryMs).unref()
  }

  /** Tries one write when the process exits. A write in progress finishes by itself. */
  #writeLast(): void {
    const isWriting = this.#state === 'writing'
    // Node would wait forever for a write to a blocked terminal or socket.
    if (isWriting && this.#isBlocked) process.kill(process.pid, 'SIGKILL')
    const rest = this.#rest.subarray(isWriting ? this.#writingBytes : 0)
    let last = Buffer.concat([rest, Buffer.from(this.#waiting)])
    try {
      while (last.length > 0) last = last.subarray(writeSync(this.#fd, this.#nextOf(last)))
    } catch {
      // The output is closed, so the error cannot be reported.
    }
  }
}

function countLines(text: string): number {
  return text.split('\n').length - 1
}

/**
 * Opens standard output so that a write to a pipe does not block: a blocked write keeps the process from
 * exiting. Processes that share the pipe's file description, such as workers, make it blocking when they
 * start or exit, so this process opens the pipe a second time.
 */
function standardOutput(): number {
  try {
    const flags = constants.O_WRONLY | constants.O_NONBLOCK
    if (fstatSync(1).isFIFO()) return openSync('/proc/self/fd/1', flags)
  } catch {
    // Not Linux, or a pipe of another user.
  }
  return 1
}
