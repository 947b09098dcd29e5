import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import type { Role } from '../config/setting.ts'
import type { Settings } from '../config/settings.ts'

/** A logger of JSON lines. It logs how many lines the output has lost, once it takes lines again. */
export function createLogger(
  settings: Pick<Settings, 'log_level'>,
  service: Role,
  output: LogOutput,
): Logger {
  const logger = pino(
    {
      level: settings.log_level,
      base: { service, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    output,
  )
  output.onGap((dropped) => logger.warn({ dropped }, 'log lines were dropped'))
  return logger
}

/** Characters that may wait for an output that is slow or full. Further lines are dropped. */
const waitingMax = 1024 * 1024
/** A failed write is repeated after this time. */
const retryMs = 100
/** Longest wait of `flush`. */
const flushMs = 1_000

/**
 * Writes log lines to a file descriptor without ever holding up the process: the lines of one turn of
 * the event loop leave together, and lines that a full disk or a stalled pipe does not take are
 * dropped and counted.
 *
 * pino's own destination does not fit: it repeats a synchronous flush until it succeeds, and ignores
 * a closed pipe without a count.
 */
export class LogOutput implements DestinationStream {
  readonly #fd: number
  #waiting = ''
  /** What a write has taken from the waiting lines and not yet written. */
  #rest = Buffer.alloc(0)
  #state: 'idle' | 'scheduled' | 'writing' | 'failed' = 'idle'
  #isBlocked = false
  #dropped = 0
  #reportedDropped = 0
  #onGap: (dropped: number) => void = () => {}
  readonly #onIdle = new Set<() => void>()

  constructor(fd: number = standardOutput()) {
    this.#fd = fd
    process.once('exit', () => this.#writeLast())
  }

  /** Lines that were dropped since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Calls back when lines can be written again, with the number of those that were dropped meanwhile. */
  onGap(callback: (dropped: number) => void): void {
    this.#onGap = callback
  }

  write(line: string): void {
    if (this.#waiting.length + line.length > waitingMax) {
      this.#dropped += 1
      return
    }
    this.#waiting += line
    if (this.#state !== 'idle') return
    this.#state = 'scheduled'
    setImmediate(() => this.#writeNext())
  }

  /** Calls back when all lines are written, or after a second. */
  flush(done: () => void): void {
    const finish = () => {
      clearTimeout(timer)
      this.#onIdle.delete(finish)
      done()
    }
    const giveUp = () => {
      this.#isBlocked = this.#state === 'writing'
      finish()
    }
    const timer = setTimeout(giveUp, flushMs)
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
    write(this.#fd, this.#rest, (error, written) => {
      if (error !== null) return this.#retryLater(error)
      this.#rest = this.#rest.subarray(written)
      if (this.#rest.length === 0) {
        this.#takeWaiting()
        this.#reportGap()
      }
      this.#writeNext()
    })
  }

  #takeWaiting(): void {
    this.#rest = Buffer.from(this.#waiting)
    this.#waiting = ''
  }

  #reportGap(): void {
    const dropped = this.#dropped - this.#reportedDropped
    this.#reportedDropped = this.#dropped
    if (dropped > 0) this.#onGap(dropped)
  }

  #retryLater({ code }: NodeJS.ErrnoException): void {
    // Nobody reads a closed pipe again, so its lines are not worth keeping.
    if (code === 'EPIPE') {
      this.#dropped += countLines(this.#rest.toString()) + countLines(this.#waiting)
      this.#rest = Buffer.alloc(0)
      this.#waiting = ''
    }
    this.#state = 'failed'
    setTimeout(() => this.#writeNext(), retryMs).unref()
  }

  /** Tries once, as the process exits. A write that is in progress ends by itself. */
  #writeLast(): void {
    const isWriting = this.#state === 'writing'
    // A terminal or a socket that takes nothing: Node would wait for that write for ever.
    if (isWriting && this.#isBlocked) process.kill(process.pid, 'SIGKILL')
    const rest = isWriting ? [] : [this.#rest]
    let last = Buffer.concat([...rest, Buffer.from(this.#waiting)])
    try {
      while (last.length > 0) last = last.subarray(writeSync(this.#fd, last))
    } catch {
      // There is nowhere left to say it.
    }
  }
}

function countLines(text: string): number {
  return text.split('\n').length - 1
}

/**
 * Standard output, such that a write to a pipe does not block: a blocked write would keep the process
 * from exiting. The pipe is opened anew because every process that shares its file description, such
 * as a worker or a child, makes it blocking when it starts or ends.
 */
function standardOutput(): number {
  try {
    const flags = constants.O_WRONLY | constants.O_NONBLOCK
    if (fstatSync(1).isFIFO()) return openSync('/proc/self/fd/1', flags)
  } catch {
    // No Linux, or a pipe that another user has made.
  }
  return 1
}
