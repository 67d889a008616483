"""What mail programs put into subjects, in the languages our customers' programs speak.

Each list is written in lower case. A phrase counts at the start of a subject only, and so never in
a person's answer ("Re: ...") to such a mail.
"""

import re
from typing import Final


def start_of_subject(lines: str) -> str:
    """A regular expression for one of the phrases at the start, after a tag, brackets, stars."""
    return rf"(?:\[[^\]]{{0,200}}\])?[\W_]*+(?:{anywhere(lines)})"


def anywhere(lines: str) -> str:
    """A regular expression for one of the phrases."""
    return "|".join(lines.strip().splitlines())


def necessary(lines: str) -> tuple[str, ...]:
    """Words of which each text holds at least one that `anywhere(lines)` finds something in.

    Knows what the phrases here are made of. Raises ValueError for a phrase without any such word.
    """
    found: dict[str, None] = {}
    for phrase in _alternatives(anywhere(lines)):
        words = _words_of(phrase)
        if not all(words):
            raise ValueError(f"no word of {phrase!r} must be there")
        found.update(dict.fromkeys(words))
    return tuple(found)


_ELEMENT: Final = re.compile(
    r"(?:\\.|\[[^\]]+\]|\((?:\?:|\?[!=])?(?P<inner>(?:[^()]|\([^()]*\))*)\)|(?P<literal>[^\\\[().|])|\.)"
    r"(?P<times>[?*]|\+|\{[0-9,]+\})?"
)


def _alternatives(pattern: str) -> list[str]:
    """The alternatives on the outermost level of a regular expression."""
    found, depth = [""], 0
    for character in pattern:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            found.append("")
        else:
            found[-1] += character
    return found


def _words_of(phrase: str) -> list[str]:
    """The most telling of: a run of characters that must be there, words of a group that must."""
    runs, groups = [""], []
    for element in _ELEMENT.finditer(phrase):
        optional = (element["times"] or "")[:1] in ("?", "*", "{")
        if element["literal"] and not optional:
            runs[-1] += element["literal"]
        elif element["inner"] and not optional and element[0][:3] == "(?:":
            groups.append([w for part in _alternatives(element["inner"]) for w in _words_of(part)])
        if not element["literal"] or element["times"]:
            runs.append("")
    return max(([max(runs, key=len)], *groups), key=lambda words: min(map(len, words)))


AUTOMATIC_REPLY: Final = r"""
automatic reply|automatic response|automated reply|automated response|auto[- ]?reply
auto[- ]?response|autoresponder|auto[- ]?generated|out[- ]of[- ]office auto[- ]?reply
autosvar|automatiskt svar|automatsvar|frånvaromeddelande|frånvaroassistent|semestermeddelande
automatisk svar|fraværsmeddelelse|fraværsmelding|fraværsassistent
automaattinen vastaus|automaattivastaus|poissaoloviesti|poissaoloilmoitus
automatische antwort|automatische rückantwort|abwesenheitsnotiz|abwesenheitsmeldung
abwesenheitsbenachrichtigung|abwesenheitsassistent|automatisch antwoord|automatische reactie
afwezigheidsbericht|afwezigheidsassistent|réponse automatique|message d['’]absence
respuesta autom[aá]tica|autorespuesta|risposta automatica|resposta autom[aá]tica
automatyczna odpowiedź|odpowiedź automatyczna|autoodpowiedź|automatick[aá] odpověď
automatick[aá] odpoveď|automatikus válasz|răspuns automat|автоматический ответ|автоответ
автоматична відповідь|αυτόματη απάντηση|otomatik yanıt|otomatik cevap|پاسخ خودکار
پاسخ اتوماتیک|رد تلقائي|رد آلي|תשובה אוטומטית|מענה אוטומטי|(?:thư )?trả lời tự động
tự động trả lời|phản hồi tự động|自动回复|自動回覆|自動回復|自动答复|自動答覆|自动应答|自動応答
自動返信|不在通知|不在応答|자동 회신|자동 응답|ตอบกลับอัตโนมัติ|การตอบกลับอัตโนมัติ
"""
"""What programs write before the subject they answer. Decisive."""

OUT_OF_OFFICE: Final = r"""
out[- ]of[- ](?:the[- ])?office|vacation (?:reply|message)|ikke til stede|ej på kontoret
poissa toimistosta|nicht im büro|niet op kantoor|absence du bureau|absente? du bureau
fuera de (?:la )?oficina|fuori (?:sede|ufficio)|fora do escrit[oó]rio|poza biurem|вне офиса
ofis dışında|خارج از دفتر|خارج از اداره|خارج المكتب|מחוץ למשרד|vắng mặt
không có mặt tại văn phòng
不在办公室|不在辦公室|不在|부재중
"""
"""Decisive before a colon, where programs put it; else a person may have written it, too."""

ABSENCE: Final = r"""
away|ooo|on (?:holiday|vacation|leave)|i am (?:away|out)|frånvaro|frånvarande|på semester
fravær|fraværende
ferie|på ferie|poissa|lomalla|abwesend|abwesenheit|urlaub|afwezig|vakantie|absence|absente?
en congés?|en vacances
ausente|vacaciones|de vacaciones|ausencia|assente|assenza|fuori (?:sede|ufficio)|in ferie
ausência|férias
nieobecność|poza biurem|urlop|вне офиса|в отпуске|отпуск|нет на месте|izindeyim|izinde
tatilde
خارج از اداره|در مرخصی|مرخصی|عدم حضور|خارج المكتب|מחוץ למשרד|vắng mặt|nghỉ phép|đi vắng
不在|外出|休假|不在办公室|不在辦公室|休暇|부재중
"""
"""A person may write it too: counts together with another sign."""

NOTICE: Final = r"""
thank you for (?:your (?:e-?mail|message|inquiry|enquiry|request)|contacting)
we(?: have|'ve) received your|your (?:request|message|e-?mail|ticket) has been received
(?:tack|tak|takk) för ditt|tak for din|takk for din
vielen dank für ihre (?:nachricht|anfrage|e-?mail)
merci (?:de|pour) votre (?:message|e-?mail|demande)|gracias por (?:su|tu) (?:mensaje|correo)
confirm your|e-?mail verification|verify your|password reset|reset your password
(?:an? )?(?:order|shipping|delivery|booking|payment) (?:confirmation|receipt)
your .{0,60}(?:order|package|parcel|shipment) (?:has|have|was|is)
here is your boarding pass|welcome to
"""
"""Notices of shops and help desks. Counts together with another sign."""

RECEIPT: Final = r"""
read|not read|läst|inte läst|læst|ikke læst|lest|luettu|gelesen|ungelesen|gelezen|lu|non lu
leído|letto
lida|lido|przeczytano|прочтено|прочитано|okundu|خوانده شد|đã đọc|已读|已讀|開封済み|읽음
"""
"""What programs write before the subject of a mail that was opened."""

BOUNCE: Final = r"""
undeliver(?:able|ed) ?:|undeliver(?:able|ed) (?:e-?)?mail|delivery (?:status )?notification
mail delivery (?:fail|problem|warning|error|status|subsystem|system|delayed)
(?:e-?)?mail (?:could not be (?:sent|delivered)|not delivered|system error|failure|undeliverable)
(?:e-?)?mail bounce|bounced? (?:e-?)?mail|returned (?:e-?)?mail|failure notice|failed mail
message delivery (?:fail|has failed)|(?:permanent|temporary) delivery failure|delivery failure
non-?delivery (?:report|notification)|message you sent (?:was )?(?:blocked|rejected)
warning: (?:could not send|message .{0,40}delayed)|delayed mail
could not deliver your (?:message|mail)
there was an error sending your mail|postmaster notify|notice: mail delivery status
your (?:message|mail|e-?mail) (?:could not|was not|wasn't|cannot) be (?:sent|deliver)
olevererbart ?:|olevererbar ?:|kan ikke afleveres ?:|kan ikke leveres ?:|kunne ikke leveres ?:
ei voitu toimittaa ?:|toimittaminen epäonnistui|unzustellbar ?:|nicht zustellbar ?:
unzustellbarkeitsbericht|onbestelbaar ?:|non remis ?:|échec de (?:la )?remise
message non distribué
no se puede entregar ?:|no entregable ?:|correo (?:electrónico )?no entregado|non recapitabile ?:
impossibile recapitare ?:|não entregue ?:|não é possível entregar ?:|niedostarczalne ?:
nie można dostarczyć ?:|недоставлено ?:|не удается доставить ?:|ваше сообщение не доставлено
teslim edilemedi ?:|غیرقابل تحویل ?:|تعذر التسليم ?:|không thể gửi ?:|thư bị trả lại|无法送达
未送达 ?[:：]
退信|系统退信|邮件传输失败|無法傳遞 ?[:：]|配信不能|配信できません|エラーメール|배달되지 않음
"""
"""What mail servers write about mail they could not deliver. Decisive."""

DELIVERY: Final = r"""
delivery (?:failed|delayed|has (?:failed|been delayed)|report)|failed (?:delivery|to deliver)
unable to deliver|undeliverable|undelivered|not delivered|message delayed
"""
"""Servers write it, and people who deal in goods. Counts together with another sign."""

INVITATION: Final = r"""
invitation|updated invitation|invitation updated|cancel(?:l)?ed(?: event)?|accepted|declined
tentative(?:ly accepted)?
inbjudan|uppdaterad inbjudan|invitation opdateret|opdateret invitation|accepterad|avböjd
accepteret|afvist
einladung|aktualisierte einladung|zugesagt|abgesagt|invitation modifiée|invitación|invito
uitnodiging|convite
zaproszenie|приглашение|davet|دعوت|lời mời|邀请|邀請|招待|초대
"""
"""What calendars write before the name of a meeting. Counts with the time after ` @ `."""

NEWSLETTER: Final = r"""
newsletter|news ?letter|news ?flash|e-?news|tech ?blast|news online|nyhetsbrev|nyhedsbrev
uutiskirje|nieuwsbrief
rundbrief|ausgabe|infolettre|lettre d['’]information|bolet[ií]n|bulletin|notiziario|biuletyn
рассылка|дайджест
bülten|خبرنامه|bản tin|通讯|简报|电子报|電子報
メールマガジン|メルマガ|뉴스레터|digest|announce(?:ment)?
"""

PROMOTION: Final = r"""
[0-9] ?% off
gift ?cards?|coupon
save up to|special offer|limited time|act now|order now|buy now|click here|don['’]t miss
deals?\b|clearance|liquidation
for free\b|free\b.*!|risk[- ]free|no obligation|you(?:'ve| have)? won|winner|lottery|lotto
jackpot|prize|inheritance
western union|money transfer|million (?:dollars|usd|euro)|eligible for
legitimate.{0,3}cash|\bcash\b|grants?\b
viagra|cialis|herbal|weight ?loss|pills?\b|pharmacy|casino|refinanc|mortgage
work (?:from|at) home|make money|earn money
web ?site traffic|search engine|page ?rank|ranking|hot stock|penny stock
stock (?:tip|alert|pick)|will (?:really )?soar|dating|replica|rolex
protect your
"""
"""Words of mass mail. Counts together with another sign."""

FAILED: Final = r"""
undeliver|not deliver|not be deliver|delivery failed|delivery failure|delivery has failed
user unknown|unknown user|mailbox (?:is )?full
no such user|does ?n[o']t exist|could not be (?:sent|delivered)|returned to sender
rejected your message|quota exceeded
"""
"""Worth a closer look for a report about delivery."""

SAYS_AUTOMATIC: Final = r"""
this is an? automatic(?:ally)?|this is an? automated
this (?:e-?mail|message|mail) (?:was|has been|is) (?:automatically )?(?:auto-?)?generated
(?:please )?do not reply to this (?:e-?mail|message|mail)|detta är ett automatiskt
går inte att svara på detta
dette er en automatisk|kan ikke besvares|tämä on automaattinen|dies ist eine automatisch
diese e-?mail wurde automatisch
bitte antworten sie nicht auf diese|ceci est un (?:e-?mail|message) automatique
ne pas répondre à ce
este es un mensaje automático|no responda a este|questo è un messaggio automatico
dit is een automatisch
to jest wiadomość automatyczna|это автоматическое|не отвечайте на это|این یک پیام خودکار
این ایمیل به صورت خودکار
đây là (?:e-?mail|thư) tự động|vui lòng không trả lời|此邮件(?:由系统|为系统)?自动|系统自动发送
请勿回复|請勿回覆
このメールは自動
"""
"""Programs saying that they are. Decisive."""

MASS_MAIL: Final = r"""
unsubscrib|opt-out|opt out|optout|remove(?:d)? from (?:this|our|the) (?:mailing )?list|to be removed
avregistrera|avprenumerera|afmeld|avmeld
abmelden|abbestellen|se désabonner|se désinscrire|désinscription|darse de baja
cancelar (?:la )?suscripción|disiscriv|annulla l'iscrizione
uitschrijven|afmelden|wypisz|отписаться|لغو اشتراک|hủy đăng ký|退订|取消订阅|取消訂閱|配信停止
(?:view|read|open) (?:this|it) .{0,20}(?:in (?:your|a) )?browser|webbläsare
having trouble (?:viewing|reading)
you are receiving this|you received this|you get this|you have received this
do not (?:want|wish) to receive
no longer (?:want|wish) to receive|any further mail
click (?:here|below)|special offer|limited time|act now|order now|money[- ]back|risk[- ]free
100% free|toll[- ]free
(?:prescription|medications?|pharmac\w+|viagra|cialis)
(?:st[o0]ck|investor) (?:alert|play|pick|receives)|corporation stock|lots of money
make money|million (?:dollars|usd|euro)|next of kin|lottery|inheritance|serious relationship
hello dear|dear (?:friend|beloved)
"""
"""Words of mass mail in a text. Two different ones decide, or one with a sign in the header."""
