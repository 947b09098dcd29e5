import type { FastifyBaseLogger } from 'fastify'

type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'

/** Whether each request gets a line. */
export function logsRequests({ level }: Pick<FastifyBaseLogger, 'level'>): boolean {
  return level === 'debug' || level === 'trace'
}

/**
 * The logger of one request, which names it in each line. It is made when it is first used: most
 * requests write no line, and making one costs more than checking a token.
 */
export class RequestLog implements FastifyBaseLogger {
  readonly #make: () => FastifyBaseLogger
  readonly #parent: FastifyBaseLogger
  #made: FastifyBaseLogger | null = null

  constructor(parent: FastifyBaseLogger, make: () => FastifyBaseLogger) {
    this.#parent = parent
    this.#make = make
  }

  get level() {
    return this.#parent.level
  }

  get fatal() {
    return this.#method('fatal')
  }

  get error() {
    return this.#method('error')
  }

  get warn() {
    return this.#method('warn')
  }

  get info() {
    return this.#method('info')
  }

  get debug() {
    return this.#method('debug')
  }

  get trace() {
    return this.#method('trace')
  }

  get silent() {
    return this.#method('silent')
  }

  child(...args: Parameters<FastifyBaseLogger['child']>) {
    return this.#logger().child(...args)
  }

  #method<L extends Level>(level: L): FastifyBaseLogger[L] {
    const logger = this.#logger()
    return logger[level].bind(logger) as FastifyBaseLogger[L]
  }

  #logger(): FastifyBaseLogger {
    this.#made ??= this.#make()
    return this.#made
  }
}
