import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

/** Loads a module of the SDK. Its types would change `Request` of Express for the whole project. */
export const loadMcp = (name: string) => import(`@modelcontextprotocol/sdk/${name}.js`)

const { Client } = await loadMcp('client/index')
const { StreamableHTTPClientTransport } = await loadMcp('client/streamableHttp')

interface OAuthTokens {
  readonly access_token: string
  readonly refresh_token?: string
}

export const mcpRedirectUri = 'http://127.0.0.1/callback'

/** A registered MCP client. Its tokens are in a file, which several processes may share. */
export class FileTokens {
  readonly redirectUrl = mcpRedirectUri
  readonly clientMetadata = { redirect_uris: [mcpRedirectUri] }
  /** Where the SDK sent the user: one address for each time that it asked for a sign-in. */
  readonly redirects: URL[] = []
  readonly #path: string
  #codeVerifier = ''

  constructor(path: string) {
    this.#path = path
  }

  clientInformation() {
    return { client_id: 'mcp' }
  }

  tokens(): OAuthTokens | undefined {
    return existsSync(this.#path) ? JSON.parse(readFileSync(this.#path, 'utf8')) : undefined
  }

  saveTokens(tokens: OAuthTokens): void {
    const written = `${this.#path}.${process.pid}`
    writeFileSync(written, JSON.stringify(tokens))
    renameSync(written, this.#path)
  }

  redirectToAuthorization(url: URL): void {
    this.redirects.push(url)
  }

  saveCodeVerifier(codeVerifier: string): void {
    this.#codeVerifier = codeVerifier
  }

  codeVerifier(): string {
    return this.#codeVerifier
  }
}

/** Opens the client of the SDK as its documentation says. */
export function createMcpClient(url: string, authProvider: FileTokens, fetchHere: typeof fetch) {
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    authProvider,
    fetch: fetchHere,
  })
  const client = new Client({ name: 'test', version: '1.0.0' })
  return {
    finishAuth: (code: string) => transport.finishAuth(code),
    connect: (): Promise<void> => client.connect(transport),
    close: () => client.close(),
    async whoami(): Promise<string> {
      const { content } = await client.callTool({ name: 'whoami', arguments: {} })
      return (content as { text: string }[])[0]?.text ?? ''
    },
  }
}
