import type { BackoffRules } from './backoff.ts'

const minute_s = 60
const hour_s = 3600
const day_s = 86_400

export type LimitName = 'device' | 'account_in_network' | 'account' | 'network' | 'wide_network'

export interface LimitRules extends BackoffRules {
  /** Whether a good login forgets the failures before it, or only does not count as one itself. */
  readonly forgivenBySuccess: boolean
}

/**
 * For one who mistypes, five free attempts are followed by pauses that are hardly felt. For one who
 * guesses they come to 120 passwords a day: five an hour, or 40 by waiting out the pauses.
 */
const oneUser: LimitRules = {
  free: 5,
  freeWindow_s: hour_s,
  pauseMax_s: hour_s,
  memory_s: day_s,
  forgivenBySuccess: true,
}

/** Free attempts and pauses for all who share an address. Good logins don't give others new ones. */
const manyUsers = {
  freeWindow_s: 10 * minute_s,
  pauseMax_s: minute_s,
  memory_s: 10 * minute_s,
  forgivenBySuccess: false,
}

/** The limits on failed logins. docs/security.md says what each is for and what it comes to. */
export const limitRules: Readonly<Record<LimitName, LimitRules>> = {
  /** An account, from a device that has signed in to it before. */
  device: oneUser,
  /** An account, from one network: a stranger in one place is no trouble to its owner in another. */
  account_in_network: oneUser,
  /**
   * An account, from everywhere but its known devices: at most 1,500 guesses a day, from however
   * many addresses. Its pauses are short, for the owner's sake who has a new device: it takes a
   * dozen networks to have each turn, which comes once a minute. A good login does not clear it, or
   * each login of the owner would give a stranger fifty guesses more.
   */
  account: {
    free: 50,
    freeWindow_s: hour_s,
    pauseMax_s: minute_s,
    memory_s: day_s,
    forgivenBySuccess: false,
  },
  /** One network, whatever the accounts. */
  network: { ...manyUsers, free: 100 },
  wide_network: { ...manyUsers, free: 1000 },
}
