import { writeSync } from 'node:fs'
import { type DestinationStream, destination } from 'pino'

/**
 * Standard output for log lines. Those of one turn of the event loop leave together, behind the
 * requests rather than between them: one write for all of them.
 */
export class LogLines implements DestinationStream {
  readonly #output = destination({ fd: 1, sync: false })
  #waiting = ''

  constructor() {
    // pino writes out what its stream has by then; this is what it has not seen.
    process.once('exit', () => {
      if (this.#waiting !== '') writeSync(1, this.#waiting)
    })
  }

  write(line: string): void {
    if (this.#waiting === '') setImmediate(() => this.#handOver())
    this.#waiting += line
  }

  flush(done: () => void): void {
    this.flushSync()
    done()
  }

  /** pino calls it for a fatal line. */
  flushSync(): void {
    this.#handOver()
    this.#output.flushSync()
  }

  #handOver(): void {
    const lines = this.#waiting
    this.#waiting = ''
    if (lines !== '') this.#output.write(lines)
  }
}
