/** The bodies of `/v1/api-keys`: each class is the type and the validation. */
import { ArrayMaxSize, ArrayMinSize, IsArray, IsInt, IsString, Max, MaxLength, Min } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { isKeyName } from '../auth/api-key-file.js';
import { knownScopes, parseScope } from '../auth/scopes.js';
import { addressList, addressPattern } from '../config/address-list.js';
import { controlCharacters, plainTextPattern } from '../core/names.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import { isPlain, Meets, Optional } from '../http/request-rules.js';

const maxList = 100;
export const defaultOverlapSeconds = 24 * 60 * 60;
const maxOverlapSeconds = 90 * 24 * 60 * 60;

export class CreateApiKeyRequest {
  @Meets(isKeyName, 'must be 1 to 128 printable ASCII characters without space and colon')
  @JSONSchema({ type: 'string', pattern: '^[!-9;-~]{1,128}$' })
  readonly name!: string;

  @Optional()
  @IsString()
  @MaxLength(256)
  @Meets(isPlain, 'must not hold control characters')
  @JSONSchema({ pattern: plainTextPattern })
  readonly owner?: string;

  @IsArray()
  @IsString({ each: true })
  @ArrayMinSize(1)
  @ArrayMaxSize(maxList)
  @Meets(areScopes, 'must be scopes such as decide or decide:invoices')
  @JSONSchema({ items: { type: 'string', pattern: `^(${knownScopes.join('|')})(:[^${controlCharacters}]+)?$` } })
  readonly scopes!: readonly string[];

  /** Limits every scope to these policy sets. */
  @Optional()
  @IsArray()
  @ArrayMaxSize(maxList)
  @IsString({ each: true })
  @Meets(arePlain, 'must be names without control characters')
  @JSONSchema({ items: { type: 'string', pattern: plainTextPattern } })
  readonly sets?: readonly string[];

  @Optional()
  @Meets(isTime, 'must be a time such as 2027-06-30T12:00:00Z')
  @JSONSchema({ type: 'string', format: 'date-time' })
  readonly expires?: string;

  @Optional()
  @IsArray()
  @IsString({ each: true })
  @ArrayMaxSize(maxList)
  @Meets(areAddresses, 'must be addresses and ranges such as 10.0.0.0/8')
  @JSONSchema({ items: { type: 'string', pattern: addressPattern } })
  readonly addresses?: readonly string[];

  @Optional()
  @IsInt()
  @Min(1)
  readonly dailyQuota?: number;
}

export class RotateApiKeyRequest {
  /** Seconds for which the previous secret stays valid. */
  @Optional()
  @IsInt()
  @Min(0)
  @Max(maxOverlapSeconds)
  readonly overlapSeconds?: number;
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && parseRfc3339(value) !== undefined;
}

function arePlain(value: unknown): boolean {
  return Array.isArray(value) && value.every(isPlain);
}

function areScopes(value: unknown): boolean {
  return Array.isArray(value) && value.every((text) => isPlain(text) && parseScope(text) !== undefined);
}

function areAddresses(value: unknown): boolean {
  if (!Array.isArray(value) || !value.every((text) => typeof text === 'string')) return false;
  try {
    addressList(value);
    return true;
  } catch {
    return false;
  }
}
