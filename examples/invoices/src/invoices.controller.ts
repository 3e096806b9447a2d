import {
  BadRequestException,
  Body,
  Controller,
  ForbiddenException,
  Get,
  Param,
  Patch,
  Post,
  Req,
} from '@nestjs/common';
import type { Decision, Entity } from '@verdict/client';
import { Authorize, type AuthorizeOptions, Decided, Subject, VerdictService } from '@verdict/nestjs';
import { type Invoice, Invoices } from './invoices.js';

/**
 * The invoice of the address, as we know it: the policies decide by that, and not by what the caller says of it. It stays with the
 * request, so that a handler changes the invoice that was decided about.
 */
const theInvoice: AuthorizeOptions = {
  id: 'id',
  attributes: ({ id }, { get, request }) => {
    request.invoice = get(Invoices).find(id);
    return attributesOf(request.invoice);
  },
};

@Controller('tenants/:tenant/invoices')
export class InvoicesController {
  constructor(
    private readonly invoices: Invoices,
    private readonly verdict: VerdictService,
  ) {}

  /** Whoever may list gets those invoices that it may read. */
  @Get()
  @Authorize('list', 'invoice')
  list(@Param('tenant') tenant: string, @Subject() subject: Entity): Promise<Invoice[]> {
    return this.verdict.filter(this.invoices.ofTenant(tenant), {
      subject,
      action: 'read',
      resource: (invoice) => ({ type: 'invoice', id: invoice.id, attributes: attributesOf(invoice) }),
    });
  }

  @Post()
  @Authorize('submit', 'invoice')
  submit(@Param('tenant') tenant: string, @Body() body: unknown, @Subject() subject: Entity): Invoice {
    return this.invoices.add({ tenant, owner: subject.id, amount: amountIn(body) });
  }

  @Get(':id')
  @Authorize('read', 'invoice', theInvoice)
  read(@Req() { invoice }: { invoice: Invoice }): Invoice {
    return invoice;
  }

  @Patch(':id')
  @Authorize('edit', 'invoice', theInvoice)
  edit(@Req() { invoice }: { invoice: Invoice }, @Body() body: unknown): Invoice {
    // Whoever approved it approved another amount.
    return this.invoices.change(invoice, { amount: amountIn(body), approvals: [] });
  }

  @Post(':id/approvals')
  @Authorize('approve', 'invoice', theInvoice)
  approve(
    @Req() { invoice }: { invoice: Invoice },
    @Subject() subject: Entity,
    @Decided() decision: Decision,
  ): Invoice {
    const approvals = [...invoice.approvals, subject.id];
    const status = approvals.length >= neededApprovals(decision) ? 'approved' : 'submitted';
    return this.invoices.change(invoice, { approvals, status });
  }
}

function attributesOf({ id: _, ...attributes }: Invoice): Omit<Invoice, 'id'> {
  return attributes;
}

/** @throws ForbiddenException for an obligation that is not known here: who cannot fulfil one may not go ahead */
function neededApprovals({ obligations }: Decision): number {
  let needed = 1;
  for (const obligation of obligations as readonly { type?: string; properties?: { count?: number } }[]) {
    const count = obligation.properties?.count;
    if (obligation.type !== 'approvals' || typeof count !== 'number') throw new ForbiddenException();
    needed = Math.max(needed, count);
  }
  return needed;
}

function amountIn(body: unknown): number {
  const amount = typeof body === 'object' && body !== null && 'amount' in body ? body.amount : undefined;
  if (typeof amount !== 'number' || !(amount > 0)) throw new BadRequestException('amount is a number above 0');
  return amount;
}
