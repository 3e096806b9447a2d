import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';

export interface Invoice {
  readonly id: string;
  readonly tenant: string;
  /** The id of the user who submitted it. */
  readonly owner: string;
  readonly amount: number;
  readonly status: 'submitted' | 'approved';
  /** The ids of the users who approved it. */
  readonly approvals: readonly string[];
}

/** In the place of a database. */
@Injectable()
export class Invoices {
  private readonly invoices = new Map<string, Invoice>();

  constructor() {
    this.add({ tenant: 'acme', owner: 'ana', amount: 900 });
    this.add({ tenant: 'acme', owner: 'bea', amount: 1_500 });
    this.add({ tenant: 'acme', owner: 'ana', amount: 24_000 });
    this.add({ tenant: 'globex', owner: 'dora', amount: 300 });
  }

  ofTenant(tenant: string): readonly Invoice[] {
    return [...this.invoices.values()].filter((invoice) => invoice.tenant === tenant);
  }

  /** @throws NotFoundException if there is no such invoice */
  find(id: string): Invoice {
    const invoice = this.invoices.get(id);
    if (invoice === undefined) throw new NotFoundException();
    return invoice;
  }

  add(what: Pick<Invoice, 'tenant' | 'owner' | 'amount'>): Invoice {
    const invoice: Invoice = { ...what, id: `INV-${this.invoices.size + 1}`, status: 'submitted', approvals: [] };
    this.invoices.set(invoice.id, invoice);
    return invoice;
  }

  /**
   * @param decided the invoice as it was when it was decided who may change it
   * @throws ConflictException if it is another one by now: that one was not decided about
   */
  change(decided: Invoice, what: Partial<Pick<Invoice, 'amount' | 'status' | 'approvals'>>): Invoice {
    if (this.invoices.get(decided.id) !== decided) throw new ConflictException();
    const changed = { ...decided, ...what };
    this.invoices.set(changed.id, changed);
    return changed;
  }
}
