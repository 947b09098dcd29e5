import type { AuthClient } from '../../browser/index.ts'
import type { StateFeed } from './server.ts'
import type { Traffic } from './traffic.ts'

/** What the parts of the page share. */
export interface Page {
  readonly auth: AuthClient
  readonly feed: StateFeed
  readonly traffic: Traffic
  /** The password, from the form or asked for anew; null when the user has no mind to give it. */
  password(): Promise<string | null>
  /** This session is about to end: by this page, or from elsewhere at an instant of `performance.now()`. */
  expectEnd(by: 'here' | number): void
}
