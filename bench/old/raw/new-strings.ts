/**
 * Tokens in turn, as a server has them: each a new string, cut out of a header. A string that is the
 * same object is found sooner, which no server meets.
 */
export function nextInTurn(tokens: readonly string[]): () => string {
  const scheme = 'Bearer '
  const headers = tokens.map((token) => Buffer.from(`${scheme}${token}`, 'latin1'))
  let turn = 0
  return () => {
    turn = (turn + 1) % headers.length
    return (headers[turn] as Buffer).toString('latin1').slice(scheme.length)
  }
}
