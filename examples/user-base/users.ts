import { randomBytes, randomUUID, scryptSync } from 'node:crypto'

/** A user, with the field names of the messages. */
export interface User {
  readonly sub: string
  /** In the form that Gatepass sends: NFKC, lower case. */
  readonly login_name: string
  /** Argon2id or scrypt as a PHC string, or bcrypt. */
  readonly password_hash: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly disabled: boolean
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

/** The users of an existing service. Your users are in a database. */
export class Users {
  readonly #byLoginName = new Map<string, User>()
  readonly #bySub = new Map<string, User>()

  findByLoginName(loginName: string): User | null {
    return this.#byLoginName.get(loginName) ?? null
  }

  findBySub(sub: string): User | null {
    return this.#bySub.get(sub) ?? null
  }

  /** Whether the user was added: both the login name and the sub were free. */
  add(user: User): boolean {
    if (this.#byLoginName.has(user.login_name) || this.#bySub.has(user.sub)) return false
    this.#set(user)
    return true
  }

  /** Returns whether the user exists and was changed. */
  change(sub: string, changes: Partial<User>, condition: (user: User) => boolean): boolean {
    const user = this.#bySub.get(sub)
    if (user === undefined || !condition(user)) return false
    this.#set({ ...user, ...changes })
    return true
  }

  /** Returns the users after a login name, in the order of the bytes of their names. */
  after(loginName: string): User[] {
    const start = Buffer.from(loginName)
    return [...this.#byLoginName.values()]
      .map((user) => ({ user, bytes: Buffer.from(user.login_name) }))
      .filter(({ bytes }) => Buffer.compare(bytes, start) > 0)
      .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
      .map(({ user }) => user)
  }

  #set(user: User): void {
    this.#byLoginName.set(user.login_name, user)
    this.#bySub.set(user.sub, user)
  }
}

/** Creates a user with a password hash of this service: scrypt. */
export function newUser(
  login_name: string,
  password: string,
  attributes: User['attributes'],
): User {
  const [log2Cost, blockSize, lanes] = [14, 8, 1]
  const salt = randomBytes(16)
  const digest = scryptSync(password, salt, 32, { N: 2 ** log2Cost, r: blockSize, p: lanes })
  const cost = `ln=${log2Cost},r=${blockSize},p=${lanes}`
  const now = Date.now()
  return {
    sub: randomUUID(),
    login_name,
    password_hash: `$scrypt$${cost}$${base64(salt)}$${base64(digest)}`,
    attributes,
    disabled: false,
    created_at_ms: now,
    updated_at_ms: now,
  }
}

/** Encodes base64 without padding, as in PHC strings. */
function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
