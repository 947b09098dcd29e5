import { createSecretKey, type KeyObject } from 'node:crypto'
import { equalTexts, hmac, hmacText, randomId } from '../../core/secrets.ts'

const prefix = 'gpd_'
const idPattern = /^[\w-]{22}$/
const macPattern = /^[\w-]{43}$/
/** People who share a browser. */
const macsMax = 4
const lengthMax = prefix.length + 22 + macsMax * 44

/** What a device token says. */
interface DeviceToken {
  readonly id: string
  /** One for each name that signed in on the device, newest first. */
  readonly macs: readonly string[]
}

/**
 * Tokens that a device keeps to be known again, `gpd_<id>.<mac>`, with one MAC for each of the last
 * login names that signed in there. A token opens nothing: it only lets the attempts on a known
 * device be counted apart from those of strangers. Without the secret nobody can make one, and one
 * made for a name is worth nothing for another.
 */
export class DeviceTokens {
  readonly #keys: readonly [KeyObject, ...KeyObject[]]

  /** @param secrets newest first: the first one makes tokens, each of them is accepted */
  constructor([newest, ...older]: readonly [Buffer, ...Buffer[]]) {
    // Under a label of their own: no such MAC is ever good for a refresh token.
    const keyOf = (secret: Buffer) => createSecretKey(hmac(secret, 'gatepass device token'))
    this.#keys = [keyOf(newest), ...older.map(keyOf)]
  }

  /** The id of a device on which this name has signed in before, else null. */
  knownId(token: string | undefined, name: string): string | null {
    const device = parse(token)
    return device?.macs.some((mac) => this.#isOf(device.id, name, mac)) ? device.id : null
  }

  /** The token of a device on which this name has just signed in, and maybe others before. */
  remember(token: string | undefined, name: string): string {
    const { id, macs } = parse(token) ?? { id: randomId(), macs: [] }
    const others = macs.filter((mac) => !this.#isOf(id, name, mac))
    const kept = [macOf(this.#keys[0], id, name), ...others].slice(0, macsMax)
    return [`${prefix}${id}`, ...kept].join('.')
  }

  #isOf(id: string, name: string, mac: string): boolean {
    return this.#keys.some((key) => equalTexts(macOf(key, id, name), mac))
  }
}

function parse(token: string | undefined): DeviceToken | null {
  if (token === undefined || token.length > lengthMax || !token.startsWith(prefix)) return null
  const [id = '', ...macs] = token.slice(prefix.length).split('.')
  const isWellFormed = idPattern.test(id) && macs.every((mac) => macPattern.test(mac))
  return isWellFormed ? { id, macs } : null
}

/** The id has a fixed length, so that no two pairs make the same text. */
function macOf(key: KeyObject, id: string, name: string): string {
  return hmacText(key, `${id}${name}`)
}
