/**
 * An MCP client that shares its tokens with other processes. At each message of the test, it calls the
 * tool once; the first answer of the token endpoint is lost on the way.
 */
import { fetchThrough } from '../support/http-server.ts'
import { createMcpClient, FileTokens } from '../support/mcp.ts'

const [url = '', issuerUrl = '', port = '', path = ''] = process.argv.slice(2)
const tokens = new FileTokens(path)
const fetchIssuer = fetchThrough(issuerUrl, port)
let lost = 0
let losesNext = false

const client = createMcpClient(url, tokens, async (target, init) => {
  const response = await fetchIssuer(target, init)
  if (!losesNext || !String(target).endsWith('/oauth/token')) return response
  losesNext = false
  lost += 1
  await response.arrayBuffer()
  throw new TypeError('fetch failed')
})

process.on('message', async () => {
  losesNext = true
  try {
    // After a lost answer the SDK asks for a sign-in. Its tokens are still there, so the call is repeated.
    const sub = await client.whoami().catch(() => client.whoami())
    process.send?.({ sub, lost })
  } catch (error) {
    process.send?.({ error: String(error), lost })
  }
})
await client.connect()
process.send?.({})
