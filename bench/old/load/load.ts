import type { Traffic } from './traffic.ts'

/** What a load is to do. */
export interface LoadSpec {
  readonly url: string
  readonly connections: number
  readonly traffic: Traffic
}

/** Who hears of what a load meets. */
export interface LoadEvents {
  answered(status: number, latency_ms: number): void
  failed(reason: string): void
}

export interface RunningLoad {
  stop(): void
  /** Resolves when all has ended. */
  readonly ended: Promise<void>
}
