/** Work that runs once at a time. Calls during a run share its result. */
export class SingleFlight {
  readonly #work: () => Promise<void>
  #run: Promise<void> | null = null
  #lastError: Error | null = null

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** The error of the last run; null if it succeeded. */
  get lastError(): Error | null {
    return this.#lastError
  }

  get isRunning(): boolean {
    return this.#run !== null
  }

  /** Runs the work, or joins the run in progress. Never rejects; `lastError` has the result. */
  run(): Promise<void> {
    this.#run ??= this.#work()
      .then(
        () => {
          this.#lastError = null
        },
        (error: Error) => {
          this.#lastError = error
        },
      )
      .finally(() => {
        this.#run = null
      })
    return this.#run
  }

  /** Runs the work after this call: a run in progress may have started too early. Never rejects. */
  async runAgain(): Promise<void> {
    await this.settled()
    await this.run()
  }

  /** Resolves when no run is in progress. */
  async settled(): Promise<void> {
    await this.#run
  }
}
