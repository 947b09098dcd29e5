import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createTestFolder } from './test-folder.ts'

/** Files in PEM. */
export interface Certificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/**
 * A certificate authority, and a certificate that it has signed.
 * @param names what the certificate is for, such as `DNS:localhost,IP:127.0.0.1`
 */
export function makeCertificates(t: Test, names: string): Certificates {
  const cwd = createTestFolder(t)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd, stdio: 'pipe' })
  const newCertificate = ['req', '-x509', '-nodes', '-days', '2', '-newkey', 'ec']
  const curve = ['-pkeyopt', 'ec_paramgen_curve:P-256']
  openssl(
    ...[...newCertificate, ...curve, '-keyout', 'ca.key', '-out', 'ca.crt'],
    ...['-subj', '/CN=test authority'],
  )
  openssl(
    ...[...newCertificate, ...curve, '-keyout', 'server.key', '-out', 'server.crt'],
    ...['-subj', '/CN=server', '-CA', 'ca.crt', '-CAkey', 'ca.key'],
    ...['-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
  )
  const [ca, cert, key] = ['ca.crt', 'server.crt', 'server.key'].map((file) => join(cwd, file))
  return { ca, cert, key } as Certificates
}
