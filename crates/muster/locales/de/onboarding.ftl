# Die Seiten für die Administration des Kunden. Förmliche Anrede; Begriffe wie in Microsofts deutschen Portalen.

date-time = { $day }. { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
} { $year }, { $time } Uhr UTC
languages = Sprache
skip-to-content = Zum Inhalt springen

## Vor der Zustimmung

landing-title = { $provider } bittet darum, die Sicherheitswarnungen von { $customer } lesen zu dürfen
landing-lead = { $provider } überwacht die Sicherheit Ihrer Organisation. Dafür muss das Überwachungssystem Ihre Warnungen aus Microsoft Defender lesen. Microsoft lässt das erst zu, wenn eine Administratorin oder ein Administrator Ihrer Organisation zugestimmt hat.

who-heading = Wer fragt an
who-provider = Dienstleister
who-contact = Kontakt
who-app-id = Anwendungs-ID
who-app-id-hint = Microsoft zeigt zur Anwendung dieselbe ID an. So können Sie sicher sein, dass es diese ist.

for-heading = Für welche Organisation
for-organization = Organisation
for-domain = Domäne
for-tenant-id = Mandanten-ID

permissions-heading = Was Sie erlauben sollen
permissions-lead = { $count ->
    [one] Eine Berechtigung, nur zum Lesen:
   *[other] { $count } Berechtigungen, nur zum Lesen:
}
permissions-lead-acting = { $count ->
    [one] Eine Berechtigung, die mehr als Lesen erlaubt:
   *[other] { $count } Berechtigungen, von denen mindestens eine mehr als Lesen erlaubt:
}
permission-of = Anwendungsberechtigung für { $api }
permission-of-person = Delegierte Berechtigung für { $api }
permission-allows = Was sie erlaubt
permission-why = Warum sie gebraucht wird
permission-security-alert = Alle Sicherheitswarnungen lesen
    .allows = Liest die Warnungen von { $source ->
        [graph_alerts] Microsoft Defender, Microsoft Sentinel und Microsoft Entra ID Protection
       *[other] { $product }
    } in Ihrem Mandanten: was wann erkannt wurde, wie schwerwiegend es ist und welche Geräte, Konten, Dateien und Adressen betroffen sind.
    .why = Auf diese Warnungen reagieren die Analystinnen und Analysten von { $provider }. Sie werden etwa jede Minute abgerufen, damit ein Angriff früh auffällt.
permission-security-incident = Alle Sicherheitsincidents lesen
    .allows = Liest Incidents, also Gruppen von Warnungen, die zum selben Angriff gehören, mit Status, Klassifizierung und Kommentaren.
    .why = Ein Incident zeigt, wie einzelne Warnungen zusammenhängen. So sieht { $provider } den ganzen Angriff und nicht nur Teile davon.
permission-threat-hunting = Suchabfragen ausführen
    .allows = Durchsucht die Sicherheitsdaten, die Microsoft Defender aufgezeichnet hat (Erweiterte Bedrohungssuche): Ereignisse auf Geräten, Anmeldungen und wer wem eine E-Mail gesendet hat. Der Text von E-Mails gehört nicht dazu.
    .why = So lassen sich Spuren von Angriffen finden, zu denen es noch keine Warnung gibt, und es wird sichtbar, was einer Warnung vorausging.
permission-reading = Weitere Daten von { $api } lesen
    .allows = Liest, was Microsoft auf seiner eigenen Seite bei diesem Namen beschreibt. Geändert werden kann damit nichts.
    .why = { $provider } fordert sie für eine Leistung an, die mit Ihnen vereinbart ist. Wenn Sie davon nichts wissen, fragen Sie bitte zuerst nach.
permission-acting = In { $api } eingreifen
    .allows = Ändert etwas oder führt eine Maßnahme aus, wie es Microsoft auf seiner eigenen Seite bei diesem Namen beschreibt. Das ist mehr als Lesen.
    .why = { $provider } fordert sie für eine Leistung an, die mit Ihnen vereinbart ist, zum Beispiel um ein angegriffenes Gerät vom Netz zu trennen. Wenn Sie davon nichts wissen, fragen Sie bitte zuerst nach.

limits-heading = Was damit nicht möglich ist
limits-change = Es kann nichts geändert oder gelöscht werden, weder in Microsoft Defender noch in Microsoft Entra noch auf Ihren Geräten.
limits-content = Niemand kann damit Ihre E-Mails, Chats oder Dateien lesen.
limits-accounts = Niemand kann sich mit einem Ihrer Konten anmelden, Kennwörter sehen oder zurücksetzen.
limits-people = Keine Person erhält Zugang zu Ihren Portalen. Falls das vereinbart ist, geschieht es in einem eigenen Schritt, den Sie gesondert genehmigen.

steps-heading = So geht es weiter
steps-sign-in = Sie gelangen zu Microsofts eigener Seite unter { $host } und melden sich dort mit einem Administratorkonto von { $customer } an. Prüfen Sie die Adresse im Browser, bevor Sie Ihr Kennwort eingeben.
steps-compare = Microsoft zeigt, wer welche Berechtigungen anfordert. Vergleichen Sie die Angaben mit dieser Seite und wählen Sie „Akzeptieren“.
steps-return = Microsoft führt Sie hierher zurück. Dann sehen Sie, ob alles funktioniert.
steps-person = Danach meldet sich eine Person von { $customer } einmal an, in deren Namen { $provider } von da an liest. Das können Sie selbst sein.

roles-heading = Wer zustimmen kann
roles-text = Ein Konto mit der Rolle „Globaler Administrator“ oder „Administrator für privilegierte Rollen“. Hat Ihr Konto keine davon, leiten Sie den Link bitte an eine Kollegin oder einen Kollegen mit dieser Rolle weiter.

continue-button = Weiter zu Microsoft
continue-hint = Ihr Kennwort geben Sie nur bei Microsoft ein. { $provider } bekommt es nie zu sehen.
valid-until = Dieser Link ist für { $customer } bestimmt und gilt bis { $date }.

revoke-heading = Wenn Sie es sich später anders überlegen
revoke-text = Sie können Ihre Zustimmung jederzeit widerrufen, ohne { $provider } zu fragen: Suchen Sie im Microsoft Entra Admin Center unter „Unternehmensanwendungen“ die Anwendungs-ID { $app_id } und wählen Sie „Eigenschaften“ und „Löschen“. Ab diesem Moment wird kein neuer Zugriff mehr gewährt; bereits gewährter Zugriff endet von selbst, in der Regel nach etwa einer Stunde.
revoke-link = Anwendung im Microsoft Entra Admin Center öffnen

unexpected-heading = Sie haben das nicht erwartet?
unexpected-text = Dann fahren Sie bitte nicht fort. Fragen Sie zuerst bei { $provider } nach, und zwar unter einer Telefonnummer oder Adresse, die Sie bereits kennen, nicht unter einer von dieser Seite oder aus der Nachricht, die Sie hierher geführt hat.

notice-declined = Sie haben nicht zugestimmt. Es wurde nichts geändert. Sie können jederzeit neu beginnen oder bei { $provider } nachfragen, was unklar ist.
notice-not-administrator = Laut Microsoft darf dieses Konto nicht für die gesamte Organisation zustimmen. Melden Sie sich mit einem Konto an, das eine der unten genannten Rollen hat, oder leiten Sie den Link weiter.
notice-wrong-account = Sie haben sich mit einem Konto angemeldet, das nicht zu { $customer } gehört. Melden Sie sich bitte mit einem Administratorkonto von { $customer } an. Falls Sie anderswo angemeldet sind, hilft ein privates Browserfenster.
notice-blocked = Eine Richtlinie für bedingten Zugriff Ihrer Organisation hat die Anmeldung blockiert. Versuchen Sie es von einem verwalteten Gerät oder aus dem Firmennetz erneut.
notice-failed = Microsoft hat ein Problem gemeldet ({ $code }). Es wurde nichts geändert. Bitte versuchen Sie es erneut. Tritt es wieder auf, teilen Sie { $provider } bitte diesen Code mit.
notice-licence = Laut Microsoft hat Ihre Organisation kein aktives Abonnement für ein Produkt, um das es bei diesem Zugriff geht ({ $code }). Es wurde nichts geändert. { $provider } hilft Ihnen gern herauszufinden, welches es ist.
notice-second-factor = Microsoft möchte, dass Sie noch einmal bestätigen, dass Sie es sind ({ $code }). Bitte beginnen Sie neu und schließen Sie jeden Schritt ab, den Microsoft zeigt, zum Beispiel eine Bestätigung auf dem Telefon.
notice-setting-up = Microsoft richtet die Anwendung in Ihrem Mandanten noch ein ({ $code }). Bitte warten Sie einige Minuten und beginnen Sie neu. Tritt es wieder auf, löschen Sie die Anwendung zuerst unter „Unternehmensanwendungen“.
notice-other-cloud = { $customer } gehört zu einer anderen nationalen Cloud von Microsoft ({ $code }), zu der dieser Link nicht führt. Es wurde nichts geändert. Bitte teilen Sie es { $provider } mit.
notice-provider = Microsoft hat ein Problem gemeldet ({ $code }), das bei { $provider } liegt und nicht bei Ihnen. Es wurde nichts geändert. Bitte teilen Sie { $provider } diesen Code mit.

## Nach der Zustimmung

status-checking-title = Vielen Dank. Die Verbindung wird geprüft
status-checking-lead = Es kann einige Minuten dauern, bis eine Zustimmung bei Microsoft überall wirksam ist. Sie müssen nicht warten: Die Prüfung läuft weiter, auch wenn Sie diese Seite schließen.
status-good-title = Alles funktioniert
status-good-lead = { $provider } kann die Sicherheitswarnungen von { $customer } jetzt lesen. Für Sie ist nichts mehr zu tun. Sie können diese Seite schließen.
status-sign-in-title = Noch ein Schritt: eine Anmeldung
status-sign-in-lead = Vielen Dank für Ihre Zustimmung. { $provider } liest im Namen einer Person von { $customer }. Bitte melden Sie sich jetzt mit dem dafür vorgesehenen Konto an oder öffnen Sie diese Seite dort, wo diese Person es kann.
status-attention-title = Etwas ist noch zu klären
status-attention-lead = Ihre Zustimmung ist angekommen, aber es funktioniert noch nicht alles. Was fehlt, steht unten. Sobald es behoben ist, wird die Prüfung von selbst grün.
status-attention-consent-lead = Microsoft bestätigt die Zustimmung noch nicht. Was Sie tun können, steht unten.
steps-checked-heading = Was geprüft wurde
step-consent = Microsoft bestätigt Ihre Zustimmung
step-sign-in = Eine Person Ihrer Organisation hat sich angemeldet
step-alerts = { $source ->
    [graph_alerts] Sicherheitswarnungen können gelesen werden
   *[other] Sicherheitswarnungen von { $product } können gelesen werden
}
step-incidents = { $source ->
    [graph_incidents] Sicherheitsincidents können gelesen werden
   *[other] Sicherheitsincidents von { $product } können gelesen werden
}
step-hunting = Suchabfragen können ausgeführt werden
state-good = Funktioniert
state-waiting = Wartet
state-checking = Wird geprüft
state-attention = Zu klären
state-your-turn = Sie sind an der Reihe
state-consent-lost = Einwilligung fehlt
state-no-licence = Keine Lizenz
state-no-token = Kein Token
state-throttled = Gedrosselt
state-api-down = API gestört
checked-at = Zuletzt geprüft am { $date }
refresh-note = Diese Seite aktualisiert sich von selbst.
refresh-link = Jetzt aktualisieren
retry-button = Zustimmung erneut erteilen

fix-consent = Microsoft ist für diese Anwendung keine Zustimmung von { $customer } bekannt. Bitte erteilen Sie die Administratorzustimmung erneut, und zwar mit einem Administratorkonto von { $customer }.
fix-permission = In der Zustimmung fehlt die Berechtigung { $permission }. Bitte stimmen Sie erneut zu und akzeptieren Sie alle Berechtigungen.
fix-app-disabled = Die Anwendung ist in Ihrem Mandanten deaktiviert. Öffnen Sie sie im Microsoft Entra Admin Center unter „Unternehmensanwendungen“ und setzen Sie unter „Eigenschaften“ die Option „Aktiviert für die Benutzeranmeldung?“ auf „Ja“.
fix-conditional-access = Eine Richtlinie für bedingten Zugriff blockiert die Anwendung. Schließen Sie die Anwendung aus der Richtlinie für Workloadidentitäten aus, oder nehmen Sie die Adressen von { $provider } in die zulässigen Standorte auf.
fix-licence = Laut Microsoft hat Ihre Organisation für diese Daten keine Lizenz oder kein aktives Abonnement. Erforderlich ist eine Lizenz, die Microsoft Defender enthält. { $provider } hilft Ihnen gern, die richtige zu finden.
fix-person = Das Konto, mit dem sich { $provider } angemeldet hat, hat in Ihrem Mandanten keine Rolle, mit der es diese Daten sehen kann. Weisen Sie ihm bitte eine Rolle wie „Sicherheitsleseberechtigter“ zu, mit Zugriff auf alle Gerätegruppen.
fix-provider = Das Problem liegt bei { $provider } und nicht bei Ihnen. { $provider } wurde darüber informiert. Sie müssen nichts tun.
fix-microsoft = Der Dienst von Microsoft antwortet zurzeit nicht. Die Prüfung wird von selbst wiederholt. Sie müssen nichts tun.
fix-other = Microsoft lässt das noch nicht zu und nennt einen Grund, den { $provider } sich ansehen muss. { $provider } wurde darüber informiert.
fix-sign-in = Melden Sie sich mit einem Konto von { $customer } an, das in Microsoft Defender Warnungen sehen darf, zum Beispiel mit der Rolle „Sicherheitsleseberechtigter“.
sign-in-button = Bei Microsoft anmelden

## Links, die nicht weiterführen

expired-title = Dieser Link ist abgelaufen
expired-text = Zu Ihrer Sicherheit gelten solche Links nur für begrenzte Zeit. Bitte fordern Sie bei { $provider } einen neuen an.
revoked-title = Dieser Link ist nicht mehr gültig
revoked-text = Er wurde durch einen neueren ersetzt oder zurückgezogen. Bitte verwenden Sie die neueste Nachricht von { $provider }, oder fordern Sie einen neuen Link an.
unknown-title = Dieser Link ist ungültig
unknown-text = Möglicherweise wurde er nicht vollständig kopiert. Bitte öffnen Sie ihn noch einmal aus der ursprünglichen Nachricht, oder fordern Sie bei { $provider } einen neuen an.
late-title = Bitte öffnen Sie Ihren Link noch einmal
late-text = Diese Antwort von Microsoft kam zu spät, wurde bereits verwendet oder lässt sich nicht zuordnen. Es wurde nichts geändert. Bitte öffnen Sie den Link aus Ihrer Nachricht noch einmal; er zeigt den aktuellen Stand.
busy-title = Einen Moment bitte
busy-text = Im Augenblick treffen zu viele Anfragen ein. Bitte versuchen Sie es in einer Minute erneut.
many-title = Zu viele Versuche
many-text = Über diesen Link wurde Microsoft in kurzer Zeit sehr oft aufgerufen. Bitte warten Sie eine Stunde, oder bitten Sie { $provider } um Hilfe.
trouble-title = Bei uns ist ein Fehler aufgetreten
trouble-text = Es wurde nichts geändert. Bitte versuchen Sie es in einigen Minuten erneut. Tritt der Fehler wieder auf, teilen Sie { $provider } bitte die Uhrzeit mit.

wrong-tenant-title = Die Zustimmung kam aus einer anderen Organisation
wrong-tenant-text = Diese Einladung gilt für { $customer }. Sie haben sich jedoch bei einer anderen Organisation angemeldet und dort zugestimmt. { $provider } verwendet diese Zustimmung nicht.
wrong-tenant-invited = Eingeladen
wrong-tenant-answered = Geantwortet
wrong-tenant-again = Bitte beginnen Sie noch einmal und melden Sie sich mit einem Administratorkonto von { $customer } an. Falls Sie anderswo angemeldet sind, hilft ein privates Browserfenster.
wrong-tenant-remove = Um die Zustimmung in der anderen Organisation rückgängig zu machen, löschen Sie die Anwendung dort unter „Unternehmensanwendungen“.
start-again = Noch einmal beginnen

## Eine Person meldet sich für den Connector an

connector-good-title = Die Anmeldung war erfolgreich
connector-good-text = { $account } ist jetzt für { $customer } angemeldet. Sie können dieses Fenster schließen.
connector-failed-title = Die Anmeldung ist fehlgeschlagen
connector-failed-text = Es wurde nichts gespeichert. Bitte starten Sie die Anmeldung dort erneut, wo Sie sie begonnen haben. Der Grund steht im Protokoll von { $provider }.
connector-failed-code = Code von Microsoft: { $code }
