import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface KeyServer {
  readonly jwksUrl: string
  close(): Promise<void>
}

/** Publishes a fixed key set, for verifiers that fetch theirs. */
export async function startKeyServer(jwks: object): Promise<KeyServer> {
  const body = JSON.stringify(jwks)
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/jwk-set+json' }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    jwksUrl: `http://127.0.0.1:${port}/jwks.json`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
