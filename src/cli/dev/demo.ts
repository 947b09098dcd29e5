import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { isGatepassError } from '../../core/errors.ts'
import { generatePassword, type Users } from '../../issuer/users.ts'

export const demoUser = 'demo'

/** Reads a file, or creates it with text that only its owner can read. */
function readOrCreate(path: string, create: () => string): { text: string; isNew: boolean } {
  const isAbsent = !existsSync(path)
  const known = isAbsent ? '' : readFileSync(path, 'utf8').trim()
  // A full disk leaves an empty file.
  if (known !== '') return { text: known, isNew: false }
  const text = create()
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: isAbsent ? 'wx' : 'w' })
  return { text, isNew: true }
}

/** The secret in a file. The first start creates it. */
export function readOrCreateSecret(path: string) {
  return readOrCreate(path, () => randomBytes(32).toString('base64url'))
}

/** Makes sure that the demo user can sign in, and returns the password in the file. */
export async function ensureDemoUser(users: Users, passwordPath: string): Promise<string> {
  const { text: password, isNew } = readOrCreate(passwordPath, generatePassword)
  const attributes = { name: 'Demo User', email: 'demo@example.com', roles: ['customer'] }
  try {
    await users.add({ loginName: demoUser, password, attributes })
  } catch (error) {
    if (!isGatepassError(error, 'account_exists')) throw error
    // The account exists, but the file with its password was deleted.
    if (isNew) await users.setPassword(demoUser, password)
  }
  return password
}

export interface Welcome {
  readonly issuer: string
  readonly ports: readonly { readonly name: string; readonly port: number }[]
  /** null if the users are in an existing user base. */
  readonly password: string | null
  readonly stateFolder: string
  readonly keysUrl: string
  readonly isSecretNew: boolean
  readonly hasPlayground: boolean
  /** The origin of the third-party application; null if there is none. */
  readonly thirdParty: string | null
  readonly startMs: number
}

/** The text that `gatepass dev` prints when it is ready: addresses, and commands to paste. */
export function welcomeText(welcome: Welcome): string {
  const { issuer, ports, stateFolder } = welcome
  const user = welcome.password === null ? '<name>' : demoUser
  const password = welcome.password ?? '<password>'
  const verifiers = ports.slice(1).map(({ port }) => `http://localhost:${port}`)
  const jar = `${stateFolder}/cookies`
  const login = JSON.stringify({ username: user, password })
  const addresses = ports.map(
    ({ name, port }) =>
      `  ${name.padEnd(11)} http://localhost:${port}   health and metrics http://localhost:${port + 1}/metrics`,
  )
  return `
Gatepass is ready (${welcome.startMs} ms)
${welcome.hasPlayground ? playgroundLine(welcome) : ''}
${addresses.join('\n')}
  API         ${issuer}/openapi.json
  state       ${stateFolder}/ (users, sessions, session data, logs); signing keys in ${welcome.keysUrl}
${welcome.isSecretNew ? `  secret      generated for this installation, in ${stateFolder}/secret\n` : ''}
  demo user   ${user}
  password    ${password}

Sign in and keep the access token:

  TOKEN=$(curl -s -c ${jar} -H 'Content-Type: application/json' \\
    -d '${login}' \\
    ${issuer}/login | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

Each replica verifies the token by itself:

${verifiers.map((address) => `  curl -i -H "Authorization: Bearer $TOKEN" ${address}/verify`).join('\n')}
  curl -s -H "Authorization: Bearer $TOKEN" ${verifiers[0]}/whoami

Session data written through one replica can be read through every replica until sign-out:

  curl -i -X PUT -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{"shirt":1}' ${verifiers[0]}/data/session/cart
  curl -s -H "Authorization: Bearer $TOKEN" ${verifiers[1]}/data/session/cart

Refresh, then sign out:

  curl -s -b ${jar} -c ${jar} -X POST ${issuer}/refresh
  curl -i -b ${jar} -c ${jar} -X POST ${issuer}/logout

Ctrl-C stops everything.
`
}

/** The password is in the fragment of the link, which a browser does not send to a server. */
function playgroundLine({ issuer, password, thirdParty }: Welcome): string {
  const fragment = password === null ? '' : `#password=${encodeURIComponent(password)}`
  const third =
    thirdParty === null ? '' : `  third party ${thirdParty}/   signs users in by OAuth\n`
  return `
  playground  ${issuer}/${fragment}
${third}`
}
