/** Work that is done once at a time: who asks while it is under way waits for the same end. */
export class SingleFlight {
  readonly #work: () => Promise<void>
  #underWay: Promise<void> | null = null
  #lastError: Error | null = null

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** What went wrong the last time; null when nothing did. */
  get lastError(): Error | null {
    return this.#lastError
  }

  get isUnderWay(): boolean {
    return this.#underWay !== null
  }

  /** Does the work. Never rejects: `lastError` says how it went. */
  run(): Promise<void> {
    this.#underWay ??= this.#work()
      .then(
        () => {
          this.#lastError = null
        },
        (error: Error) => {
          this.#lastError = error
        },
      )
      .finally(() => {
        this.#underWay = null
      })
    return this.#underWay
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await this.#underWay
  }
}
