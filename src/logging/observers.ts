/** Observers of one kind of event, for metrics. They are added while the service is created, before the first event. */
export class Observers<Event> {
  private readonly observers: ((event: Event) => void)[] = [];

  add(observer: (event: Event) => void): void {
    this.observers.push(observer);
  }

  notify(event: Event): void {
    for (const observer of this.observers) observer(event);
  }
}
