"""Frequent words of languages in Latin script: small words, and those that requests to a model begin with."""

# ruff: noqa: RUF001  (letters of other languages)

from __future__ import annotations

from collections import defaultdict
from typing import Final

_LISTS: Final = {
    "en": "the of and to in is a that it for was with as be on are this by not from or have an which you were at they"
    " what how why who when where can could would should i my me your we do does did has will there their if about than"
    " then into but all some these those please write explain list give describe create make find tell show summarize"
    " translate between using following each more other no hello hi thanks",
    "de": "der die das und ist in den von zu mit sich auf für nicht ein eine einen einem einer des dem als auch es an werden"
    " aus er hat dass sie nach bei um am im sind noch wie was war wird ich du wir ihr mein kann oder aber wenn nur man über"
    " so warum wer welche welcher welches bitte schreibe schreib erkläre nenne gib mir diese dieser dieses sein durch vor zum"
    " zur ihre ihren keine kein haben soll möchten wählen sie folgenden übersetze fasse zusammen zwischen hallo danke bis meine meinen meiner viel viele gibt unser unsere damit dann da doch wurde ob",
    "fr": "le la les de des du un une et est en que qui dans pour pas sur au aux avec il elle ce cette ces se ne plus par je"
    " vous nous tu mon ma mes son sa ses leur leurs ou où mais comme tout être sont été fait quel quelle quels quelles"
    " comment pourquoi quoi quand est-ce l d c qu j n s y a à écris écrivez explique expliquez donne donnez moi entre si"
    " aussi bien votre notre voulez peut doit cela fichier bonjour merci quoi faut résume traduis suivant suivants",
    "es": "el la los las de del y en que es un una por con para se no su al lo como más pero sus le ya o fue este esta esto"
    " estos estas ha son muy cuando sin sobre ser también me hay donde quien desde todo nos qué cómo cuál cuáles por qué"
    " dónde quién mi yo tú usted eres está están escribe explica dame dime haz crea cuánto entre si tiene puede desea sólo"
    " uno otros ese esa porque hola gracias cada siguiente siguientes hasta así otra otro misma mismo bajo mientras siempre después antes debe resume traduce",
    "pt": "o a os as de do da dos das e em no na nos nas que é um uma por com para se não seu sua ao à mais mas como foi ele"
    " ela isso este esta esse essa são pelo pela ou quando muito já também só eu você me meu minha há está qual quais como"
    " porque quem onde quê escreva explique dê faça crie qual entre sem ser ter seus suas até mesmo pode deve deseja"
    " olá obrigado cada seguinte seguintes resuma traduza",
    "it": "il lo la i gli le di del della dei delle dello nel nella e è che un una uno per con non si in da dal dalla al alla"
    " come più ma sono ho ha questo questa questi queste anche se ci mi ti suo sua essere stato cosa perché chi dove quando"
    " quale quali quanto scrivi spiega dammi fammi crea tra fra su sul sulla l d c dell nell all io tu noi voi mio mia o"
    " può deve ogni ciao grazie sia viene degli negli seguente seguenti riassumi traduci",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als maar bij door naar uit dan nog over hij ze"
    " we ik je jij u mijn was wordt worden deze dit die of heeft hebben kan kunnen zou wat hoe waarom wie waar wanneer welke"
    " schrijf leg geef mij me maak kun uw geen meer al tussen moet wilt tot onder wel zo hallo dank bedankt vertaal vat samen"
    " volgende",
    "sv": "och att det i en är som på av för med den till inte om ett har de jag du vi han hon man var kan från så men nu vid"
    " hur vad varför vem när vilka vilken vilket skriv förklara ge mig mina min mitt detta denna dessa eller ska skulle"
    " blir också mellan sig dig din ditt där här efter än under alla bara mycket inga ingen hej tack följande översätt"
    " sammanfatta används vill måste",
    "da": "og at det i en er som på af for med den til ikke om et har de jeg du vi han hun man var kan fra så men nu ved"
    " hvordan hvad hvorfor hvem hvornår hvilke hvilken hvilket skriv forklar giv mig mine min mit dette denne disse eller"
    " skal ville bliver også mellem sig dig din dit der her efter end under alle kun meget ingen hej tak følgende oversæt"
    " bliver blev blive blevet nogle være vil må brug bruger bruges hvis når deres gøre sprog flere mange vise kunne dem"
    " venligst skulle så ud kunne hvorved hvert ethvert inden igen få",
    "no": "og å at det i en er som på av for med den til ikke om et har de jeg du vi han hun man var kan fra så men nå ved"
    " hvordan hva hvorfor hvem når hvilke hvilken hvilket skriv forklar gi meg mine min mitt dette denne disse eller skal"
    " ville blir også mellom seg deg din ditt der her etter enn under alle bare mye ingen hei takk følgende oversett"
    " ble bli blitt noen være vil må bruk bruker brukes hvis deres gjøre språk flere mange vise kunne ut også igjen får hvert inn opp bare",
    "fi": "ja on ei se että en hän mutta ovat olla kun oli mitä miten miksi kuka missä milloin mikä mitkä minä sinä me te he"
    " minun sinun tämä tämän tässä nämä jos myös voi voit kuin niin vain sekä tai joka jotka jonka ole olen siitä sen niitä"
    " kaikki kirjoita selitä kerro anna luo tee mukaan hei kiitos kanssa ennen jälkeen seuraava seuraavat välillä tiivistä"
    " käännä haluat",
    "pl": "i w na z do nie się że jest to o jak po co ale za od przez dla czy tym są być może tego ten ta te jego jej ich"
    " był była było które który która tylko już kiedy gdzie kto dlaczego jaki jakie jaka mi mnie ja ty my wy napisz wyjaśnij"
    " podaj opisz proszę między oraz lub albo a ze we tak bez przy można czym jakich należy cześć dziękuję każdy następujące"
    " przetłumacz stwórz",
    "cs": "a v na se je že s z do i o to jako za ve si pro ale k by byl byla bylo jsou jak co po od které který která tak"
    " kde kdy kdo proč jaký jaké jaká mi mě já ty my vy když dokud tuto těchto svůj všechno potom teď před až napiš vysvětli uveď prosím mezi nebo při tento tato toto této může"
    " být jen jeho její jejich není aby také pouze než už ahoj díky děkuji následující přelož vytvoř chcete bude jste",
    "sk": "a v na sa je že s z do i o to ako za vo si pre ale k by bol bola bolo sú čo po od ktoré ktorý ktorá tak kde kedy"
    " kto prečo aký aké aká mi ma ja ty my vy keď kým túto tohto týchto celú svoj všetko potom teraz pred napíš vysvetli uveď prosím medzi alebo pri tento táto toto tejto môže byť len"
    " jeho jej ich nie aby tiež iba než už ahoj ďakujem nasledujúce prelož vytvor chcete bude ste",
    "ro": "și în de la cu pe care este un o nu să se din pentru ce mai sunt a al ale ai cum dar că fi fost sau după prin"
    " unei unui acest această acesta acestea aceste eu tu el ea noi voi mea meu îmi mie cine unde când cât scrie explică"
    " dă-mi fă creează între fără doar foarte despre dacă poate trebuie ar ei lor lui bună mulțumesc următoarele tradu"
    " rezumă ş şi vă doriți",
    "hu": "a az és hogy nem is egy ez van meg csak volt mint de el ki már kell még vagy ha azt ezt mi én te ő mit milyen miért"
    " hogyan ki hol mikor melyik mennyi írj írd magyarázd adj készíts nekem be fel le minden lehet majd akkor sem ami aki"
    " amely között után előtt szerint kérem szia köszönöm következő fordítsd foglald össze ezek nincs lesz",
    "tr": "ve bir bu da de için ile ne çok o gibi daha var olarak en kadar ama ben sen biz siz ya mi mı mu mü nasıl neden"
    " niçin kim nerede hangi değil olan her sonra şey yok bana benim senin olduğu olur oldu ise veya yaz açıkla anlat ver"
    " söyle oluştur arasında göre tüm bunu şu iki merhaba teşekkürler lütfen aşağıdaki çevir özetle eğer",
    "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga ke karena ada bisa adalah saya kamu anda kami kita"
    " mereka dia apa bagaimana mengapa kenapa siapa dimana kapan mana berapa tolong tuliskan jelaskan buatkan buat berikan"
    " atau sudah telah oleh sebagai lebih antara para seperti jika hanya dapat harus halo terima kasih setiap berikut"
    " terjemahkan tulis",
    "vi": "và là của có không được cho trong một các những này đó với người tôi bạn để ra đã khi thì như cũng từ về nhưng hay"
    " hãy viết giải thích cho tôi làm thế nào tại sao ai gì nào đâu bao nhiêu ở nếu bằng giữa hoặc sẽ vào đến xin chào cảm ơn"
    " dịch tóm tắt sau",
    "ca": "el la els les de del dels i a en que és un una uns unes per amb no es al als com més però seu seva si ho hi ha són"
    " aquest aquesta aquests aquestes quan on us heu podeu si plau qui què quin quina quins quines quant jo tu meu meva molt també entre sense"
    " sobre escriu explica fes dóna digues l d s perquè pot cal ser està voleu hola gràcies cada següent següents resumeix"
    " tradueix o",
    "hr": "i u je se na da su za od s ne što kao o koji koja koje to a ili ali iz po kako zašto tko gdje kada koliko sam si smo"
    " ste bi će samo više biti bio bila može nije ovo ovaj ova taj ta mi ja ti vi mene napiši objasni daj opiši navedi"
    " između te prema molim bude do sa već svoje dok gde treba možete morate ispod iznad red ako svi sve još nakon prije bez bok hvala sljedeće sljedeći prevedi sažmi kod",
}


def _signatures() -> dict[str, tuple[str, ...]]:
    languages: defaultdict[str, list[str]] = defaultdict(list)
    for language, words in _LISTS.items():
        for word in dict.fromkeys(words.split()):
            languages[word].append(language)
    return {word: tuple(each) for word, each in languages.items()}


LANGUAGES_OF: Final = _signatures()
"""Word, lower-case → the languages it is frequent in."""
