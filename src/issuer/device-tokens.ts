import { DerivedMac, randomId, type Secrets } from '../core/secrets.ts'

const prefix = 'gpd_'
const idPattern = /^[\w-]{22}$/
const macPattern = /^[\w-]{43}$/
/** Users who share a browser. */
const maxMacs = 4
const maxLength = prefix.length + 22 + maxMacs * 44

interface DeviceToken {
  readonly id: string
  /** One per login name, newest first. */
  readonly macs: readonly string[]
}

/**
 * Tokens by which a device is recognized, `gpd_<id>.<mac>…`, with one MAC for each of the last login
 * names on it. A device token grants no access: the attempts of a recognized device only have a limit
 * of their own. A token that was made for one name is invalid for another.
 */
export class DeviceTokens {
  readonly #mac: DerivedMac

  constructor(secrets: Secrets) {
    this.#mac = new DerivedMac(secrets, 'gatepass device token')
  }

  /** Returns the id of the device if this name has signed in on it, or null. */
  knownId(token: string | undefined, name: string): string | null {
    const device = parseDeviceToken(token)
    return device?.macs.some((mac) => this.#mac.isValid(macInput(device.id, name), mac))
      ? device.id
      : null
  }

  /** Returns the token of a device on which this name has just signed in. */
  remember(token: string | undefined, name: string): string {
    const { id, macs } = parseDeviceToken(token) ?? { id: randomId(), macs: [] }
    const input = macInput(id, name)
    const others = macs.filter((mac) => !this.#mac.isValid(input, mac))
    const kept = [this.#mac.of(input), ...others].slice(0, maxMacs)
    return [`${prefix}${id}`, ...kept].join('.')
  }
}

function parseDeviceToken(token: string | undefined): DeviceToken | null {
  if (token === undefined || token.length > maxLength || !token.startsWith(prefix)) return null
  const [id = '', ...macs] = token.slice(prefix.length).split('.')
  const isWellFormed = idPattern.test(id) && macs.every((mac) => macPattern.test(mac))
  return isWellFormed ? { id, macs } : null
}

/** The id has a fixed length, so no two pairs of id and name result in the same text. */
function macInput(id: string, name: string): string {
  return `${id}${name}`
}
