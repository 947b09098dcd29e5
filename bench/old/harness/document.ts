/**
 * Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`: figures in a
 * document are put there by the run that measured them, never typed.
 *
 * @throws when the document has no such place
 */
export function insertReport(document: string, name: string, report: string): string {
  const start = `<!-- bench:${name} -->`
  const end = `<!-- /bench:${name} -->`
  const startAt = document.indexOf(start)
  const endAt = document.indexOf(end)
  if (startAt === -1 || endAt < startAt) throw new Error(`there is no place for bench:${name}`)
  return `${document.slice(0, startAt + start.length)}\n${report}\n${document.slice(endAt)}`
}
