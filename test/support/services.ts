import { password } from './accounts.ts'
import { runCommand } from './commands.ts'
import { postJson } from './post-json.ts'
import type { ProcessOptions } from './processes.ts'

/** Now is in the middle of a rotation period, so that no test meets the key of the next period. */
export const keyRotation = {
  GATEPASS_KEY_ROTATION_S: String(Math.floor(Date.now() / 1000 / 100.5)),
}

/** The settings of a service in its own process: free ports, and cheap hashes. */
export const serviceEnv = {
  ...keyRotation,
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
  GATEPASS_ARGON2_MEMORY_KIB: '8',
}

/** Creates the user `ada` for the issuers of a folder. */
export async function addUser(options: Pick<ProcessOptions, 'cwd' | 'env'>): Promise<void> {
  const { code, stderr } = await runCommand(['users', 'add', 'ada'], {
    ...options,
    input: password,
  })
  if (code !== 0) throw new Error(stderr)
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

/** Signs the user `ada` in and returns the tokens, the refresh token in the body. */
export async function signIn(url: string, fields: object = {}): Promise<Tokens> {
  const body = { username: 'ada', password, refresh_token_in: 'body', ...fields }
  const response = await postJson(`${url}/login`, body)
  if (!response.ok) throw new Error(`${url}/login answered ${response.status}`)
  return (await response.json()) as Tokens
}
