import { isRemoteHttp } from '../../config/validators.ts'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { type CliContext, unusableSetting, userConfigOf } from '../context.ts'
import { loginByBrowser, openBrowser } from '../login/browser-login.ts'
import { IssuerClient, type Tokens } from '../login/issuer-client.ts'
import { SavedSession, SessionFile } from '../login/saved-session.ts'
import { askLine, oneLine, readPassword } from '../terminal.ts'

/** The commands of a user at a terminal: `gatepass login`, `token` and `logout`. */

export interface IssuerOption {
  readonly issuer?: string
}

export interface LoginOptions extends IssuerOption {
  readonly client?: string
  readonly scope?: string
  readonly browser?: true
  readonly password?: true
}

/**
 * Signs in with the browser. Uses the password if a user name is given or if there is no terminal.
 */
export async function login(
  context: CliContext,
  name: string | undefined,
  options: LoginOptions,
): Promise<void> {
  const client = new IssuerClient(issuerOf(context, options))
  if (isRemoteHttp(new URL(client.issuer))) {
    throw unusableSetting('issuer', 'must be https: passwords and tokens pass through it')
  }
  const isAtTerminal = context.stdin.isTTY && name === undefined
  const byBrowser = options.browser ?? (isAtTerminal && !options.password)
  const signIn = byBrowser ? signInByBrowser : signInByPassword
  const { username, tokens } = await signIn(context, client, name, options)
  const { issuer } = await sessionOf(context, options).save(username, tokens)
  context.stderr.write(`Signed in as ${oneLine(username)} at ${issuer}.\n`)
}

interface SignedIn {
  readonly username: string
  readonly tokens: Tokens
}

async function signInByPassword(
  context: CliContext,
  issuer: IssuerClient,
  name: string | undefined,
  { client, scope }: LoginOptions,
): Promise<SignedIn> {
  const username = name ?? (await askName(context))
  // The settings, and so the issuer, may be those of a folder that somebody else wrote.
  const prompt = `Password of ${oneLine(username)} at ${issuer.issuer}: `
  const password = await readPassword(context, prompt)
  return { username, tokens: await issuer.login({ username, password, client, scope }) }
}

async function signInByBrowser(
  context: CliContext,
  issuer: IssuerClient,
  loginHint: string | undefined,
  { client, scope }: LoginOptions,
): Promise<SignedIn> {
  const tokens = await loginByBrowser(issuer, { client, scope, loginHint }, (url) => {
    context.stderr.write(`Sign in with your browser. If it does not open, visit:\n${url}\n`)
    openBrowser(context, url)
  })
  try {
    return { username: await issuer.username(tokens.access_token), tokens }
  } catch (error) {
    // The session would stay in the user's list of devices, and nobody could use it.
    await issuer.logout(tokens.refresh_token).catch(() => {})
    throw error
  }
}

export async function logout(context: CliContext, options: IssuerOption): Promise<void> {
  const { username, issuer } = await sessionOf(context, options).logout()
  context.stderr.write(`Signed out ${oneLine(username)} at ${issuer}.\n`)
}

export async function printToken(context: CliContext, options: IssuerOption): Promise<void> {
  context.stdout.write(`${await sessionOf(context, options).accessToken()}\n`)
}

export function sessionOf(context: CliContext, options: IssuerOption): SavedSession {
  const issuer = issuerOf(context, options)
  const file = new SessionFile(context, issuer)
  return new SavedSession({ client: new IssuerClient(issuer), file, clock: systemClock })
}

/**
 * Returns the issuer of the option, or of the settings. In production both must be https, unless the
 * host is this machine.
 * @throws `config_invalid`
 */
export function issuerOf(context: CliContext, { issuer }: IssuerOption): string {
  if (issuer === undefined) return userConfigOf(context).settings.issuer
  const env = { ...context.env, GATEPASS_ISSUER: issuer, GATEPASS_ISSUER_FILE: undefined }
  return userConfigOf({ ...context, env }).settings.issuer
}

/** Without a terminal, standard input is for the password. */
async function askName(context: CliContext): Promise<string> {
  if (context.stdin.isTTY) return askLine(context, 'User name: ')
  const detail =
    'Give the user name: gatepass login <user-name>. The password is read from standard input.'
  throw new GatepassError('request_invalid', { detail })
}
